"""The proxy from the environment, read as curl, requests and Apprise do: HTTPS_PROXY, HTTP_PROXY, NO_PROXY."""

from datetime import timedelta
from ipaddress import ip_address, ip_network
from urllib.parse import unquote
from urllib.request import getproxies, proxy_bypass

from urllib3 import PoolManager, ProxyManager, Timeout
from urllib3.contrib.socks import SOCKSProxyManager
from urllib3.exceptions import HTTPError
from urllib3.util import Url, make_headers, parse_url


def pool_for(url: Url, timeout: timedelta) -> PoolManager:
    """Return a connection pool for a URL, through its proxy or direct.

    Args:
        url: the target.
        timeout: limit for connecting, and for each read of a response.

    Raises:
        ValueError: the proxy cannot be used; names the setting and quotes nothing of it.
    """
    seconds = timeout.total_seconds()
    pool_timeout = Timeout(connect=seconds, read=seconds)
    proxies = getproxies()
    name = url.scheme if url.scheme in proxies else "all"
    if not proxies.get(name) or _is_exempt(url, proxies.get("no", "")):
        return PoolManager(timeout=pool_timeout, retries=False)
    try:
        return _pool_behind(proxies[name], pool_timeout)
    except (HTTPError, ValueError):
        raise ValueError(
            f"{name.upper()}_PROXY is not a proxy URL: write http://host:port, unset it, or name this host in NO_PROXY"
        ) from None


def _pool_behind(text: str, pool_timeout: Timeout) -> PoolManager:
    proxy = parse_url(text if "://" in text else f"http://{text}")
    if not proxy.host or (proxy.port is not None and not 0 < proxy.port < 65536):
        raise ValueError
    user, _, password = (proxy.auth or "").partition(":")
    if (proxy.scheme or "").startswith("socks"):
        bare = proxy._replace(auth=None, path=None, query=None, fragment=None).url
        return SOCKSProxyManager(
            bare, unquote(user) or None, unquote(password) or None, timeout=pool_timeout, retries=False
        )
    credentials = f"{unquote(user)}:{unquote(password)}" if proxy.auth else None
    headers = make_headers(proxy_basic_auth=credentials)
    return ProxyManager(
        proxy._replace(auth=None, path=None, query=None, fragment=None).url,
        proxy_headers=headers,
        timeout=pool_timeout,
        retries=False,
    )


def _is_exempt(url: Url, exempt: str) -> bool:
    """Whether NO_PROXY, a list of hosts, domains and networks, exempts a URL."""
    host = (url.host or "").strip("[]")
    names = [name.strip() for name in exempt.split(",") if name.strip()]
    if any(_is_within(host, name) for name in names):
        return True
    return bool(proxy_bypass(f"{host}:{url.port}" if url.port else host))


def _is_within(host: str, name: str) -> bool:
    try:
        return ip_address(host) in ip_network(name.strip("[]"), strict=False)
    except ValueError:
        return False
