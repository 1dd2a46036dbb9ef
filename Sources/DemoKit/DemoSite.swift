import NIOCore
import NIOHTTP1

/// The demo's site: one page that tells what of the request reached the origin.
final class DemoSite: ChannelInboundHandler {
    typealias InboundIn = HTTPServerRequestPart
    typealias OutboundOut = HTTPServerResponsePart

    /// How requests reach the origin.
    enum Way { case plain, tls, native }

    private let way: Way
    private var request: HTTPRequestHead?

    init(_ way: Way) {
        self.way = way
    }

    private static func account(_ way: Way) -> String {
        switch way {
        case .tls: "It came to the origin's own TLS server: the edge could not read it.\n"
        case .native:
            "It came through the native handshake with the origin's key holder: the edge could not read it.\n"
        case .plain:
            "It came from the edge, which read it with keys of this connection, and without the site's private key.\n"
        }
    }

    /// The first line of every page; the demo checks it.
    static func greeting(_ host: String) -> String { "Hello from the origin of \(host).\n" }

    func channelRead(context: ChannelHandlerContext, data: NIOAny) {
        switch unwrapInboundIn(data) {
        case .head(let head): request = head
        case .body: break
        case .end: answer(context: context)
        }
    }

    func errorCaught(context: ChannelHandlerContext, error: any Error) {
        context.close(promise: nil)
    }

    private func answer(context: ChannelHandlerContext) {
        guard let request else { return }
        self.request = nil
        var page = context.channel.allocator.buffer(capacity: 512)
        let host = request.headers.first(name: "host") ?? "no host"
        page.writeString(Self.greeting(String(host.prefix { $0 != ":" })))
        page.writeString(Self.account(way))
        page.writeString("\n\(request.method) \(request.uri)\n")
        for (name, value) in request.headers {
            page.writeString("\(name): \(value)\n")
        }
        var headers = HTTPHeaders()
        headers.add(name: "content-type", value: "text/plain; charset=utf-8")
        headers.add(name: "content-length", value: String(page.readableBytes))
        context.write(
            wrapOutboundOut(.head(HTTPResponseHead(version: request.version, status: .ok, headers: headers))),
            promise: nil)
        if request.method != .HEAD {
            context.write(wrapOutboundOut(.body(.byteBuffer(page))), promise: nil)
        }
        let isLast = !request.isKeepAlive
        context.writeAndFlush(wrapOutboundOut(.end(nil))).assumeIsolated().whenComplete { _ in
            if isLast { context.close(promise: nil) }
        }
    }
}
