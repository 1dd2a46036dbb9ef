import EdgeModel
import HTTPWire
import NIOCore

extension OriginConfiguration {
    /// From the end of the request to the head of the final response: 1xx responses extend the time for it so far and no
    /// further.
    var finalHeadTimeout: TimeAmount { self.responseTimeout * 5 }

    var maximumConnectionsPerClient: Int { max(1, self.maximumConnections * self.clientShare / 100) }

    var pace: TransferPace.Limits { .init(silence: self.responseTimeout, window: self.rateWindow) }

    var wireLimits: WireLimits {
        WireLimits(
            startLineBytes: self.maximumHeadBytes, headBytes: self.maximumHeadBytes, fields: 512,
            trailerBytes: self.maximumHeadBytes, trailers: 512, informationalResponses: 64)
    }
}
