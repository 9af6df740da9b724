"""Resource embedding, as references/api/resource_embedding describes it."""

import pytest


@pytest.fixture
def films(shared_films):
    return shared_films


async def rows(rest, path):
    answer = await rest.get(path)
    assert answer.status_code == 200, answer.text
    return answer.json()


async def test_many_to_one_is_an_object(rest):
    assert await rows(rest, "/films?id=in.(2,4)&order=id&select=id,director:directors(id,last_name)") == [
        {"id": 2, "director": {"id": 1, "last_name": "Dickson"}},
        {"id": 4, "director": None},
    ]


async def test_one_to_many_is_an_array(rest):
    assert await rows(rest, "/directors?order=id&id=gte.3&select=last_name,films(title)") == [
        {"last_name": "Méliès", "films": [{"title": "The Haunted Castle"}]},
        {"last_name": None, "films": []},
    ]


async def test_one_to_one_is_an_object_from_either_side(rest):
    assert await rows(rest, "/films?id=eq.1&select=id,technical_specs(camera)") == [
        {"id": 1, "technical_specs": {"camera": "Cinématographe"}}
    ]
    assert await rows(rest, "/technical_specs?select=films(id)") == [{"films": {"id": 1}}]


async def test_many_to_many_goes_through_the_join_table(rest):
    assert await rows(rest, "/actors?order=id&select=first_name,films(id)&films.order=id") == [
        {"first_name": "Jehanne", "films": [{"id": 3}, {"id": 4}]},
        {"first_name": "Brigitte", "films": [{"id": 4}]},
    ]


async def test_the_foreign_key_or_its_column_names_the_relationship(rest):
    expected = [{"id": 2, "d": {"id": 1}}]
    for name in (
        "films_director_id_fkey",
        "director_id",
        "directors!films_director_id_fkey",
        "directors!director_id",
    ):
        assert await rows(rest, f"/films?id=eq.2&select=id,d:{name}(id)") == expected


async def test_several_relationships_are_300_with_the_choices(rest):
    answer = await rest.get("/orders?select=*,addresses(*)")
    assert answer.status_code == 300
    assert answer.json() == {
        "code": "PGRST201",
        "details": [
            {
                "cardinality": "many-to-one",
                "embedding": "orders with addresses",
                "relationship": "billing using orders(billing_address_id) and addresses(id)",
            },
            {
                "cardinality": "many-to-one",
                "embedding": "orders with addresses",
                "relationship": "shipping using orders(shipping_address_id) and addresses(id)",
            },
        ],
        "hint": "Try changing 'addresses' to one of the following: 'addresses!billing', "
        "'addresses!shipping'. Find the desired relationship in the 'details' key.",
        "message": "Could not embed because more than one relationship was found for 'orders' and "
        "'addresses'",
    }


async def test_a_hint_picks_one_of_several(rest):
    select = "name,billing_address:addresses!billing(name),shipping_address:addresses!shipping(name)"
    assert await rows(rest, f"/orders?select={select}") == [
        {
            "name": "Water Filter",
            "billing_address": {"name": "32 Glenlake Dr."},
            "shipping_address": {"name": "30 Glenlake Dr."},
        }
    ]
    select = "name,billing_orders:orders!billing(name),shipping_orders:orders!shipping(name)"
    assert await rows(rest, f"/addresses?id=eq.1&select={select}") == [
        {"name": "32 Glenlake Dr.", "billing_orders": [{"name": "Water Filter"}], "shipping_orders": []}
    ]


async def test_no_relationship_is_pgrst200(rest):
    answer = await rest.get("/films?select=id,products(sku)")
    assert answer.status_code == 400
    assert answer.json() == {
        "code": "PGRST200",
        "message": "Could not find a relationship between 'films' and 'products' in the schema cache",
        "details": "Searched for a foreign key relationship between 'films' and 'products' in the schema "
        "'public', but no matches were found.",
        "hint": None,
    }


async def test_filters_on_the_embedded_resource_leave_the_outer_rows_alone(rest):
    path = "/films?id=gte.3&order=id&select=id,actors(first_name)&actors.first_name=eq.Jehanne"
    assert await rows(rest, path) == [
        {"id": 3, "actors": [{"first_name": "Jehanne"}]},
        {"id": 4, "actors": [{"first_name": "Jehanne"}]},
    ]
    path = "/films?order=id&select=id,roles(character)&roles.or=(character.eq.Maria,character.eq.x)"
    assert [len(row["roles"]) for row in await rows(rest, path)] == [0, 0, 0, 1]


async def test_inner_leaves_out_rows_without_the_embedded_resource(rest):
    path = "/films?order=id&select=id,actors!inner(first_name)&actors.first_name=eq.Brigitte"
    assert await rows(rest, path) == [{"id": 4, "actors": [{"first_name": "Brigitte"}]}]
    path = "/films?order=id&select=id,directors!inner(id)"
    assert [row["id"] for row in await rows(rest, path)] == [1, 2, 3]


async def test_inner_counts_too(rest):
    answer = await rest.get("/films?select=id,actors!inner(id)&limit=1", headers={"Prefer": "count=exact"})
    assert answer.headers["content-range"] == "0-0/2"


async def test_the_embedded_resource_is_sorted_and_limited(rest):
    path = "/films?id=eq.4&select=id,actors(id)&actors.order=id.desc&actors.limit=1"
    assert await rows(rest, path) == [{"id": 4, "actors": [{"id": 2}]}]
    path = "/films?id=eq.4&select=id,actors(id)&actors.order=id.desc&actors.offset=1"
    assert await rows(rest, path) == [{"id": 4, "actors": [{"id": 1}]}]


async def test_filters_apply_to_aliases(rest):
    path = "/films?id=eq.4&select=a:actors(id),b:actors(id)&a.id=eq.1&b.id=eq.2"
    assert await rows(rest, path) == [{"a": [{"id": 1}], "b": [{"id": 2}]}]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("select=id,actors(id)&actors=not.is.null", [3, 4]),
        ("select=id,actors()&actors=is.null", [1, 2]),
        ("select=id,actors(id),directors(id)&or=(actors.is.null,directors.is.null)", [1, 2, 4]),
        (
            "select=id,actors(),directors()&directors.first_name=eq.Louis&actors.first_name=eq.Brigitte"
            "&or=(directors.not.is.null,actors.not.is.null)",
            [1, 4],
        ),
    ],
)
async def test_an_embedded_resource_is_tested_for_being_there(rest, query, expected):
    assert [row["id"] for row in await rows(rest, f"/films?order=id&{query}")] == expected


async def test_an_empty_embedding_is_not_shown(rest):
    assert await rows(rest, "/films?select=id,actors()&actors=not.is.null&order=id&limit=1") == [{"id": 3}]


async def test_another_operator_on_an_embedded_resource_is_pgrst120(rest):
    answer = await rest.get("/films?select=id,actors(id)&actors=eq.1")
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST120")


async def test_a_filter_on_what_is_not_embedded_is_pgrst108(rest):
    answer = await rest.get("/films?select=id&actors.id=eq.1")
    assert answer.status_code == 400
    assert answer.json()["code"] == "PGRST108"
    assert answer.json()["message"] == "'actors' is not an embedded resource in this request"
    assert answer.json()["hint"] == "Verify that 'actors' is included in the 'select' query parameter."


async def test_the_outer_rows_are_sorted_by_the_to_one_end(rest):
    path = "/films?select=id,directors(first_name)&order=directors(last_name).desc.nullslast"
    assert [row["id"] for row in await rows(rest, path)] == [3, 1, 2, 4]


async def test_sorting_by_the_to_many_end_is_pgrst118(rest):
    answer = await rest.get("/films?select=id,actors(id)&order=actors(id)")
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST118")
    answer = await rest.get("/films?select=id&order=directors(id)")
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST108")


async def test_the_to_one_end_is_spread(rest):
    path = "/films?id=in.(2,4)&order=id&select=id,...directors(director_last_name:last_name)"
    assert await rows(rest, path) == [
        {"id": 2, "director_last_name": "Dickson"},
        {"id": 4, "director_last_name": None},
    ]
    path = "/technical_specs?select=...films(t:id,...directors(first_name))"
    assert await rows(rest, path) == [{"t": 1, "first_name": "Louis"}]


async def test_spreading_the_to_many_end_is_refused(rest):
    answer = await rest.get("/films?select=id,...actors(first_name)")
    assert (answer.status_code, answer.json()["code"]) == (400, "PGRST119")


async def test_embeddings_nest(rest):
    path = "/actors?id=eq.2&select=roles(character,films(id,director_id))"
    assert await rows(rest, path) == [
        {"roles": [{"character": "Maria", "films": {"id": 4, "director_id": None}}]}
    ]
    path = "/directors?id=eq.1&select=films(id,d:directors!inner(first_name))&films.d.first_name=eq.x"
    assert await rows(rest, path) == [{"films": []}]


async def test_a_functions_rows_embed_like_its_tables(rest):
    assert await rows(rest, "/rpc/films_of?since=1897&select=id,directors(id)&title=like.The*") == [
        {"id": 3, "directors": {"id": 3}}
    ]
