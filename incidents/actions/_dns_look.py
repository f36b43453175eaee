"""Asks the name servers of a domain themselves, past every cache."""

from dataclasses import dataclass, field

from django.utils.translation import gettext as _

from drcenter.errors import OperationFailed

# Seconds for one answer.
PATIENCE = 5.0


@dataclass(frozen=True)
class Answer:
    """What is published: contents in order, and for how many seconds others keep it (None: there is none)."""

    contents: list[str] = field(default_factory=list)
    ttl: int | None = None


def authoritative(domain: str, name: str, kind: str, server: str = "") -> Answer:
    """What a name server of `domain`, or `server` ("ADDRESS[:PORT]"), answers for `name`.

    Raises OperationFailed when none answers.
    """
    import dns.exception
    import dns.message
    import dns.query
    import dns.rcode
    import dns.rdatatype

    question = dns.message.make_query(name, kind)
    failures = []
    for address, port in _servers(domain, server):
        try:
            reply, _truncated = dns.query.udp_with_fallback(question, address, timeout=PATIENCE, port=port)
        except (dns.exception.DNSException, OSError) as error:
            failures.append(f"{address}: {type(error).__name__}")
            continue
        if reply.rcode() not in {dns.rcode.NOERROR, dns.rcode.NXDOMAIN}:
            failures.append(f"{address}: {dns.rcode.to_text(reply.rcode())}")
            continue
        sets = [one for one in reply.answer if one.rdtype == dns.rdatatype.from_text(kind)]
        contents = sorted(str(item).rstrip(".") for one in sets for item in one)
        return Answer(contents, sets[0].ttl if sets else None)
    raise OperationFailed(
        _("No name server of %(domain)s answers: %(failures)s")
        % {"domain": domain, "failures": ", ".join(failures)}
    )


def _servers(domain: str, server: str) -> list[tuple[str, int]]:
    """Addresses and ports to ask."""
    import dns.exception
    import dns.resolver

    if server:
        address, _colon, port = server.partition(":")
        return [(address, int(port or 53))]
    try:
        names = [str(one.target) for one in dns.resolver.resolve(domain, "NS", lifetime=PATIENCE)]
        return [
            (str(one), 53) for name in names for one in dns.resolver.resolve(name, "A", lifetime=PATIENCE)
        ]
    except dns.exception.DNSException as error:
        raise OperationFailed(
            _("The name servers of %(domain)s cannot be found: %(error)s")
            % {"domain": domain, "error": type(error).__name__}
        ) from None
