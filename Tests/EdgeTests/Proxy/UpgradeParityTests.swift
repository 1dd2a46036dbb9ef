import HTTPForwarding
import NIOCore
import NIOEmbedded
import NIOHTTP1
import TLSWire
import Testing

/// After a request that our rules take for an upgrade, NIO's decoder must have stopped: what follows is not HTTP.
@Suite struct UpgradeParityTests {
    @Test(
        arguments: [
            "Upgrade", "upgrade", "UPGRADE", "keep-alive, Upgrade", "keep-alive,Upgrade", "Upgrade, keep-alive",
            "Upgrade ,x",
            "x,Upgrade", "x, y, Upgrade", "close, upgrade", "Upgrade,", ",Upgrade", "  Upgrade  ", "x  ,  Upgrade",
            "x ,Upgrade",
            "upgrade upgrade", "x upgrade", "upgradex, upgrade", "xupgrade, upgrade", "keep-alive, upgrade, close",
            "Upgrade, Upgrade",
            "HTTP2-Settings, Upgrade", "te, upgrade", ",,upgrade", ", ,upgrade", "keep-alivex,upgrade", "clos,upgrade",
            "u,upgrade",
        ], ["", "Content-Length: 2\r\n", "Transfer-Encoding: chunked\r\n"])
    func decoderStops(connection: String, framing: String) throws {
        let channel = EmbeddedChannel()
        try channel.pipeline.syncOperations.addHandler(ByteToMessageHandler(HTTPRequestDecoder()))
        let body = framing.isEmpty ? "" : framing.hasPrefix("C") ? "ab" : "2\r\nab\r\n0\r\n\r\n"
        let one =
            "GET / HTTP/1.1\r\nHost: a.test\r\nConnection: \(connection)\r\nUpgrade: websocket\r\n\(framing)\r\n\(body)"
        try channel.writeInbound(ByteBuffer(string: one + "GET /next HTTP/1.1\r\nHost: a.test\r\n\r\n"))
        var heads: [HTTPRequestHead] = []
        while let part = try channel.readInbound(as: HTTPServerRequestPart.self) {
            if case .head(let head) = part { heads.append(head) }
        }
        let rules = RequestForwarding(
            policy: ForwardingPolicy(domains: [try ServerNamePattern("a.test")], pseudonym: "x"),
            serverName: try ServerName("a.test"), client: .unknown)
        guard case .forward(let request) = rules.decide(try #require(heads.first)) else {
            Issue.record("refused")
            return
        }
        if request.upgrades { #expect(heads.count == 1) }
        if heads.count == 1 { #expect(request.stopsDecoder) }
        _ = try? channel.finish(acceptAlreadyClosed: true)
    }
}
