"""Envoy's configuration: as near to the others' as its filters go."""


import tools

EXTENSIONS = "type.googleapis.com/envoy.extensions"
HTTP = f"{EXTENSIONS}.filters.http"


def refused(networks):
    """Whoever comes from these networks is refused."""
    ranges = []
    for network in networks:
        address, length = network.split("/")
        ranges.append({"address_prefix": address, "prefix_len": int(length)})
    principals = [{"direct_remote_ip": one} for one in ranges]
    policy = {"permissions": [{"any": True}], "principals": principals}
    return {"@type": f"{HTTP}.rbac.v3.RBAC", "rules": {"action": "DENY", "policies": {"networks": policy}}}


def bucket():
    tokens = {"max_tokens": 100_000_000, "tokens_per_fill": 100_000_000, "fill_interval": "60s"}
    always = {"default_value": {"numerator": 100, "denominator": "HUNDRED"}}
    return {
        "@type": f"{HTTP}.local_ratelimit.v3.LocalRateLimit",
        "stat_prefix": "limit",
        "token_bucket": tokens,
        "filter_enabled": always,
        "filter_enforced": always,
    }


def token(setup):
    keys = (setup.folder / f"{setup.jwt}.jwks").read_text()
    provider = {
        "issuer": "https://login.example",
        "local_jwks": {"inline_string": keys},
        "forward": True,
        "payload_in_metadata": "claims",
        "claim_to_headers": [{"header_name": "X-User-Id", "claim_name": "sub"}],
        "jwt_cache_config": {"jwt_cache_size": 10_000},
    }
    rules = [{"match": {"prefix": "/"}, "requires": {"provider_name": "login"}}]
    return {"@type": f"{HTTP}.jwt_authn.v3.JwtAuthentication", "providers": {"login": provider}, "rules": rules}


def role():
    claim = {
        "filter": "envoy.filters.http.jwt_authn",
        "path": [{"key": "claims"}, {"key": "role"}],
        "value": {"string_match": {"exact": "user"}},
    }
    policy = {"permissions": [{"any": True}], "principals": [{"metadata": claim}]}
    return {"@type": f"{HTTP}.rbac.v3.RBAC", "rules": {"action": "ALLOW", "policies": {"users": policy}}}


def document(setup, denied, own, port, origin):
    filters = []
    if setup.edge:
        filters += [("networks", refused(denied)), ("limit", bucket())]
    if setup.jwt:
        filters += [("envoy.filters.http.jwt_authn", token(setup)), ("role", role())]
    filters.append(("router", {"@type": f"{HTTP}.router.v3.Router"}))
    routes = [{"match": {"path": f"/route-{n}/items"}, "route": {"cluster": "app"}} for n in range(setup.routes)]
    host = {"name": "all", "domains": ["*"], "routes": [*routes, {"match": {"prefix": "/"}, "route": {"cluster": "app", "timeout": "0s"}}]}
    if setup.edge:
        added = {"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY"}
        host["response_headers_to_add"] = [{"header": {"key": key, "value": value}} for key, value in added.items()]
        host["response_headers_to_remove"] = ["server"]
    log = {"@type": f"{EXTENSIONS}.access_loggers.file.v3.FileAccessLog", "path": str(own / "access.log")}
    manager = {
        "@type": f"{EXTENSIONS}.filters.network.http_connection_manager.v3.HttpConnectionManager",
        "stat_prefix": "all",
        "codec_type": "HTTP2" if setup.h2 and not setup.tls else "AUTO",
        "access_log": [{"name": "file", "typed_config": log}],
        "route_config": {"virtual_hosts": [host]},
        "http_filters": [{"name": name, "typed_config": config} for name, config in filters],
    }
    if setup.websocket:
        manager["upgrade_configs"] = [{"upgrade_type": "websocket"}]
    chain = {"filters": [{"name": "http", "typed_config": manager}]}
    if setup.tls:
        certs = tools.DEPS / "certs"
        pair = {"certificate_chain": {"filename": str(certs / "server.pem")}, "private_key": {"filename": str(certs / "server.key")}}
        common = {"tls_certificates": [pair], "alpn_protocols": ["h2", "http/1.1"]}
        context = {"@type": f"{EXTENSIONS}.transport_sockets.tls.v3.DownstreamTlsContext", "common_tls_context": common}
        chain["transport_socket"] = {"name": "tls", "typed_config": context}

    def address(number):
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    endpoint = {"lb_endpoints": [{"endpoint": {"address": address(origin)}}]}
    breaker = {"thresholds": [{"max_connections": 100_000, "max_pending_requests": 100_000, "max_requests": 100_000}]}
    cluster = {
        "name": "app",
        "connect_timeout": "2s",
        "type": "STATIC",
        "circuit_breakers": breaker,
        "load_assignment": {"cluster_name": "app", "endpoints": [endpoint]},
    }
    listener = {"name": "all", "address": address(port), "filter_chains": [chain]}
    return {"static_resources": {"listeners": [listener], "clusters": [cluster]}}
