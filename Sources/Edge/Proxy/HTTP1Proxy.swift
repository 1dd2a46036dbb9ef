import Channels
import EdgeModel
public import NIOCore
import NIOHTTP1

/// Why a connection can't be proxied.
public enum HTTP1ProxyError: Error, Sendable {
    /// The channel's event loop is not one of the site's group: our bug.
    case foreignEventLoop
}

/// Serves HTTP/1.1 on a client connection by passing requests on to the site's origin.
public enum HTTP1Proxy {
    /// Adds the HTTP handlers at the end of the pipeline, behind TLS. Call on the channel's event loop. Reading starts at once.
    ///
    /// - Throws: ``HTTP1ProxyError``, or a channel error if the channel is closed.
    public static func install(on channel: any Channel, context: ProxyContext) throws {
        guard let client = context.site.origins.client(on: channel.eventLoop),
            let turns = context.site.turns.turns(on: channel.eventLoop)
        else {
            throw HTTP1ProxyError.foreignEventLoop
        }
        let limits = context.site.limits
        var decoding = NIOHTTPDecoderLimitConfiguration()
        decoding.maxHeaderFieldSize = limits.maximumHeadBytes
        decoding.maxHeaderListSize = limits.maximumHeadBytes
        decoding.maxHeaderFieldCount = limits.maximumFields
        // The rules say how each response is framed; the encoder only does it.
        var encoding = HTTPResponseEncoder.Configuration()
        encoding.automaticallySetFramingHeaders = false

        let pipeline = channel.pipeline.syncOperations
        let input = ClientInput()
        try pipeline.addHandler(input)
        // Head and body in one TLS record. Idle connections are to be small.
        try pipeline.addHandler(FrameCoalescer(keepsBuffer: false))
        try pipeline.addHandler(HTTPResponseEncoder(configuration: encoding))
        try pipeline.addHandler(
            ByteToMessageHandler(
                RequestDecoder(
                    HTTPRequestDecoder(leftOverBytesStrategy: .forwardBytes, limitConfiguration: decoding))))
        try pipeline.addHandler(ProxyHandler(context, client: client, turns: turns, input: input))
        try channel.syncOptions?.setOption(.autoRead, value: true)
    }
}
