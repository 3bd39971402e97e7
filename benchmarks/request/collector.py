"""Takes everything that is posted, at once and unread: spans over HTTP and gRPC, Sentry's envelopes.

    python -m benchmarks.request.collector HTTP_PORT GRPC_PORT

A process of its own, so that what it does is not counted as the site's.
"""

import asyncio
import sys
from concurrent.futures import ThreadPoolExecutor

import grpc

TAKEN = b"HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n"
SERVICE = "opentelemetry.proto.collector.trace.v1.TraceService"


async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).lower()
            length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0])
            await reader.readexactly(length)
            writer.write(TAKEN)
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        writer.close()


def start_grpc(port: int) -> grpc.Server:
    handlers = {"Export": grpc.unary_unary_rpc_method_handler(lambda _raw, _context: b"")}
    server = grpc.server(ThreadPoolExecutor(2))
    server.add_generic_rpc_handlers((grpc.method_handlers_generic_handler(SERVICE, handlers),))
    server.add_insecure_port(f"127.0.0.1:{port}")
    server.start()
    return server


async def main(http_port: int, grpc_port: int) -> None:
    start_grpc(grpc_port)
    server = await asyncio.start_server(serve, "127.0.0.1", http_port)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1]), int(sys.argv[2])))
