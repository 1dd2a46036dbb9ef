import Channels
import EdgeModel
public import NIOCore

/// Why a connection can't be proxied.
public enum HTTP1ProxyError: Error, Sendable {
    /// The channel's event loop is not one of the site's group: our bug.
    case foreignEventLoop
}

/// Serves HTTP/1.1 on a client connection by passing requests on to the site's origin.
public enum HTTP1Proxy {
    /// Adds the HTTP handler at the end of the pipeline, behind TLS. Call on the channel's event loop. Reading starts at once.
    ///
    /// - Throws: ``HTTP1ProxyError``, or a channel error if the channel is closed.
    public static func install(on channel: any Channel, context: ProxyContext) throws {
        guard let client = context.site.origins.client(on: channel.eventLoop),
            let turns = context.site.turns.turns(on: channel.eventLoop)
        else {
            throw HTTP1ProxyError.foreignEventLoop
        }
        let pipeline = channel.pipeline.syncOperations
        // With TLS, the client's close_notify ends its direction only (RFC 8446 §6.1): it still gets its answers.
        let tls = pipeline.serverTLS
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: tls != nil)
        try pipeline.addHandler(
            HTTP1Connection(context, client: client, turns: turns, records: tls?.handler as? any PlaintextWriter))
        try channel.syncOptions?.setOption(.autoRead, value: true)
    }
}
