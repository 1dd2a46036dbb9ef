import Channels
import EdgeModel
public import NIOCore

/// Serves HTTP/2 on a client connection by passing requests on to the site's origin.
public enum HTTP2Proxy {
    /// Adds the handler at the end of the pipeline, behind TLS. Call on the channel's event loop. Reading starts at once.
    ///
    /// - Throws: ``HTTP1ProxyError``, or a channel error if the channel is closed.
    public static func install(on channel: any Channel, context: ProxyContext) throws {
        guard let client = context.site.origins.client(on: channel.eventLoop),
            let turns = context.site.turns.turns(on: channel.eventLoop)
        else {
            throw HTTP1ProxyError.foreignEventLoop
        }
        try channel.syncOptions?.setOption(.allowRemoteHalfClosure, value: false)
        let connection = HTTP2Connection(context, client: client, turns: turns)
        try channel.pipeline.syncOperations.addHandler(connection)
        try channel.syncOptions?.setOption(.autoRead, value: true)
    }
}
