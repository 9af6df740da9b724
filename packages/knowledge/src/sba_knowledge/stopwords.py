"""Words of English and Indonesian that carry no subject: a question is searched without them."""

from __future__ import annotations

from typing import Final


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


ENGLISH: Final = _words("""
    a about above after again against all also am an and any are aren't as at be because been before being
    below between both but by can can't could did didn't do does doesn't doing don't down during each either
    else ever few find for from further get give got had has have having he her here hers him his how
    however i i'd i'll i'm i've if in into is isn't it it's its itself just know let like many may me might
    more most much must my need no nor not of off on once one only or other our ours out over own please
    same shall she should show since so some such tell than that that's the their theirs them then there
    these they this those through to too under until up upon very was wasn't we were what what's when where
    whether which while who whom whose why will with within without would you your yours
    """)

INDONESIAN: Final = _words("""
    ada adalah adapun agar akan aku anda antara apa apabila apakah apalagi atas atau bagaimana bagaimanakah
    bagi bahwa banyak begitu belum berapa berapakah berikut bila bilakah bisa boleh buat bukan cara dalam
    dan dapat dapatkah dari daripada dengan di dia dimana dimanakah disebut dulu guna hal hanya harus hingga
    ialah ini itu itulah iya jadi jangan jika jikalau juga kah kalau kalian kami kamu kan kapan kapankah
    karena ke kemana kenapa kepada ketika kita lagi lah lain lalu maka mana manakah masih mau melalui
    mengapa mengenai menjadi menurut mereka merupakan namun nya oleh pada padahal para pernah pernahkah pula
    pun saat saja sama sambil sampai sangat saya sebab sebagai sebelum sebuah secara sedang sedangkan
    sehingga sejak sekali selain selama seorang seperti serta sesuatu sesudah setelah setiap siapa siapakah
    suatu sudah sudahkah supaya tanpa tapi telah tentang tentu terhadap tersebut tetapi tidak tolong untuk
    usah yaitu yakni yang
    """)

STOP_WORDS: Final = ENGLISH | INDONESIAN
