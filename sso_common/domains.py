"""Domain names as cookies see them. Pure.

In: host names. Out: whether a cookie of one is sent to the other, and whether a browser accepts it at
all. Called by ``checks`` and ``doctor``.
"""

from __future__ import annotations

from typing import Final

#: Public suffixes of more than one label: domains under which strangers register names. The full list
#: (publicsuffix.org) has thousands and changes weekly; these are the ones that a mistake is likely to hit.
_SECOND_LEVEL: Final = {
    "ac co gov ltd me net nhs org plc police sch": "uk",
    "asn com edu gov id net org": "au",
    "ac co geek gen govt iwi maori net org school": "nz",
    "ac co gov law net nom org school web": "za",
    "ac ad co ed go gr lg ne or": "jp",
    "ac co go ne or pe re": "kr",
    "ac com edu gov net org": "cn",
    "com edu gov idv net org": "tw hk",
    "com edu gov net org per": "sg",
    "com edu gov name net org": "my",
    "ac co go net or sch web": "id",
    "ac co go in net or": "th",
    "ac co edu firm gen gov ind net nic org res": "in",
    "com edu gov info net org ltd": "ph vn pk",
    "com edu gov net org web bel gen k12": "tr",
    "com edu gob gov net org": "mx ar pe ec uy ve co cl es",
    "com art blog edu eco gov net org adv ind": "br",
    "ac co gov k12 muni net org": "il",
    "com edu gov in net org co": "ua",
    "com edu gov info biz net org": "pl",
    "com edu gov net org": "gr pt sa eg ng cy mt ro",
    "ac co gov net org sch": "ae",
    "ac co go info me mobi ne or sc": "ke",
    "ac co gv or": "at",
    "ac co edu in org": "rs",
    "co info org": "hu",
}
_HOSTING: Final = """
    appspot.com azurewebsites.net blogspot.com cloudfront.net firebaseapp.com fly.dev
    github.io gitlab.io herokuapp.com netlify.app ngrok.io ngrok.app ngrok-free.app onrender.com
    pages.dev pythonanywhere.com up.railway.app readthedocs.io app.render.com run.app trycloudflare.com
    vercel.app web.app workers.dev
"""
_PUBLIC_SUFFIXES: Final = frozenset(_HOSTING.split()) | {
    f"{second}.{country}"
    for seconds, countries in _SECOND_LEVEL.items()
    for second in seconds.split()
    for country in countries.split()
}


def is_under(host: str, domain: str) -> bool:
    """Whether a cookie for ``domain`` is sent to ``host`` (RFC 6265, 5.1.3)."""
    host = host.lower().rstrip(".")
    return host == domain or host.endswith(f".{domain}")


def may_be_under(pattern: str, domain: str) -> bool:
    """Whether an entry of ``ALLOWED_HOSTS`` admits a host under the parent domain."""
    name = pattern.lower().rpartition(":")[0] if pattern.rpartition(":")[2].isdigit() else pattern.lower()
    if name.startswith("."):
        return is_under(name[1:], domain) or is_under(domain, name[1:])
    return name == "*" or is_under(name, domain)


def is_public_suffix(domain: str) -> bool:
    """Whether strangers register names directly under a domain: one label, or a suffix that is known.

    Browsers go by the full list of publicsuffix.org; False is no proof.
    """
    return "." not in domain or domain in _PUBLIC_SUFFIXES
