"""nginx as a peer: one worker, full handshakes only, everything else as an operator would tune it."""

import os

STREAM_MODULES = ("/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib64/nginx/modules/ngx_stream_module.so")

_HEAD = """\
{modules}{user}daemon off;
worker_processes 1;
worker_rlimit_nofile 50000;
pid {directory}/nginx.pid;
error_log {directory}/nginx-error.log error;
events {{ worker_connections 24000; multi_accept on; }}
"""

_HTTP = """\
http {{
    access_log off;
    server_tokens off;
    sendfile on;
    tcp_nopush on;
    tcp_nodelay on;
    keepalive_timeout 60s;
    keepalive_requests 1000000000;
    http2_max_concurrent_streams 128;
    open_file_cache max=100 inactive=60s;
    client_body_temp_path {directory}/nginx-body;
    proxy_temp_path {directory}/nginx-proxy;
    fastcgi_temp_path {directory}/nginx-fastcgi;
    uwsgi_temp_path {directory}/nginx-uwsgi;
    scgi_temp_path {directory}/nginx-scgi;
    ssl_protocols TLSv1.2 TLSv1.3;
    ssl_session_tickets off;
    ssl_session_cache off;
    proxy_cache_path {directory}/nginx-cache levels=1:2 keys_zone=bench:64m max_size=2g use_temp_path=off;
    upstream origin {{
        server 127.0.0.1:{origin};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
{servers}}}
"""

_SERVER = """\
    server {{
        listen 127.0.0.1:{port} ssl http2 reuseport backlog=4096;
        server_name {name};
        ssl_certificate {certificate};
        ssl_certificate_key {key};
        root {directory}/www;
        location / {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;
        }}
        location /cached/ {{
            proxy_pass http://origin;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host $host;
            proxy_cache bench;
        }}
        location /file/ {{ }}
    }}
"""

_STREAM = """\
stream {{
    access_log off;
    tcp_nodelay on;
    preread_buffer_size 16k;
    map $ssl_preread_server_name $routed {{
        {name} 127.0.0.1:{origin};
    }}
{servers}}}
"""

_RELAY = """\
    server {{
        listen 127.0.0.1:{port} reuseport backlog=4096;
        proxy_buffer_size {buffer};
        {route}
    }}
"""


def configuration(directory, sites, origin_http, relays, origin_raw, relay_name):
    """Writes the configuration and the 1 KiB file, and returns the configuration's path.

    sites: (port, server name, certificate path, key path) each; they proxy `/N` to the HTTP origin, cache
    `/cached/N` and serve `/file/1024` themselves. relays: (port, buffer size, whether the server name is read) each.
    """
    os.makedirs(f"{directory}/www/file", exist_ok=True)
    with open(f"{directory}/www/file/1024", "wb") as body:
        body.write(b"x" * 1024)
    servers = "".join(
        _SERVER.format(port=port, name=name, certificate=certificate, key=key, directory=directory)
        for port, name, certificate, key in sites)
    streams = "".join(
        _RELAY.format(
            port=port, buffer=buffer,
            route="ssl_preread on; proxy_pass $routed;" if preread else f"proxy_pass 127.0.0.1:{origin_raw};")
        for port, buffer, preread in relays)
    modules = "".join(f"load_module {path};\n" for path in STREAM_MODULES if os.path.exists(path))
    text = (
        _HEAD.format(directory=directory, modules=modules, user="user root;\n" if os.geteuid() == 0 else "")
        + _HTTP.format(directory=directory, origin=origin_http, servers=servers)
        + _STREAM.format(name=relay_name, origin=origin_raw, servers=streams))
    path = f"{directory}/nginx.conf"
    with open(path, "w") as file:
        file.write(text)
    return path


def command(binary, directory, configuration_path):
    return [binary, "-p", directory, "-e", f"{directory}/nginx-error.log", "-c", configuration_path]
