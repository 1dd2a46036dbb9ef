import Foundation
import TestSockets
import Testing

/// "Bad input and faults" of the hello, with the real edge: raw sockets first, ordinary clients after them.
@Suite(.serialized, .timeLimit(.minutes(3))) struct BadHelloTests {
    private static func alert(_ code: UInt8) -> [UInt8] { [0x15, 3, 3, 0, 2, 2, code] }

    /// A keyless and a relay site. Neither key holder nor origin exist: no bad hello gets that far.
    private static let sites = """
        keyholders:
          home: { addresses: [127.0.0.1:1] }
        sites:
          - domains: [www.example.test]
            mode: keyless
            keyholder: home
            origin: { url: "http://127.0.0.1:1" }
          - domains: [bank.example.test]
            mode: relay
            origin: { address: 127.0.0.1:1 }
        limits:
          hello-bytes: 32768
          hello-timeout: 1s
        """

    /// What a client sends and how the edge takes it.
    private struct Case {
        var reason: String
        var bytes: [UInt8]
        var answer: [UInt8]
        var site: String?
        var endsInput = false
    }

    /// A hello with a byte of its body changed.
    private static func hello(changing offset: Int, to value: UInt8) -> [UInt8] {
        var bytes = TestHello().records()
        bytes[offset] = value
        return bytes
    }

    private static var cases: [Case] {
        let extensionsLength = 5 + 4 + 2 + 32 + 1 + 6 + 2 + 1
        let names = [
            "www.example.test.", "127.0.0.1", "::1", "www example.test", "w\u{e9}b.example.test", "", ".example.test",
            "a/b.test", "www.example.test\u{0}", String(repeating: "a", count: 64) + ".test",
        ]
        return [
            Case(
                reason: "unknown server name", bytes: TestHello(serverName: "no.test").records(), answer: alert(112),
                site: "no.test"),
            Case(reason: "no server name", bytes: TestHello(serverName: nil).records(), answer: alert(109)),
            Case(
                reason: "no server name", bytes: TestHello(serverName: nil, versions: nil).records(), answer: alert(112)
            ),
            Case(
                reason: "version too old", bytes: TestHello(versions: nil, legacyVersion: 0x0301).records(),
                answer: alert(70), site: "www.example.test"),
            Case(
                reason: "version too old", bytes: TestHello(versions: [0x0302, 0x0301]).records(), answer: alert(70),
                site: "www.example.test"),
            Case(reason: "hello too large", bytes: TestHello(padding: 60_000).records(), answer: alert(50)),
            Case(
                reason: "bad length in ClientHello", bytes: self.hello(changing: extensionsLength, to: 0xff),
                answer: alert(50)),
            Case(reason: "unexpected message", bytes: self.hello(changing: 5, to: 2), answer: alert(10)),
            Case(reason: "unexpected record", bytes: [0x16, 3, 1, 0, 1, 1, 0x17, 3, 3, 0, 1, 0], answer: alert(10)),
            Case(reason: "record too long", bytes: [0x16, 3, 1, 0xff, 0xff], answer: alert(22)),
            Case(reason: "not TLS", bytes: Array("SSH-2.0-x\r\n".utf8), answer: []),
            Case(reason: "not TLS", bytes: (0..<5000).map { UInt8(truncatingIfNeeded: $0 &* 97 &+ 1) }, answer: []),
            Case(reason: "truncated", bytes: Array(TestHello().records().prefix(60)), answer: [], endsInput: true),
            Case(reason: "timeout", bytes: Array(TestHello().records().prefix(60)), answer: []),
        ]
            + names.map { name in
                let reason = name.isEmpty ? "bad length in ClientHello" : "bad server name"
                return Case(
                    reason: reason, bytes: TestHello(serverName: name).records(),
                    answer: name.isEmpty ? alert(50) : alert(47))
            }
    }

    @Test func everyBadHelloGetsItsAnswerItsMetricAndItsLine() async throws {
        let workspace = try Workspace()
        try await blocking {
            let edge = try RunningEdge(Self.sites, in: workspace)
            defer { edge.stop() }
            _ = try edge.metrics()
            let descriptors = edge.process.openDescriptors
            var counts: [String: Double] = [:]
            for bad in Self.cases {
                let client = try TestSocket.connect(port: edge.port)
                let clientAddress = "127.0.0.1:\(client.port)"
                try client.send(bad.bytes)
                if bad.endsInput { client.shutdownOutput() }
                let answer = try client.receiveToEnd()
                #expect(answer == bad.answer, "\(bad.reason): \(bad.bytes.prefix(80))")
                let line = try edge.process.wait(for: "client hello refused") { $0["client"] == clientAddress }
                #expect(line["reason"] == bad.reason)
                #expect(line["site"] == bad.site)
                counts[bad.reason, default: 0] += 1
            }
            let metrics = try edge.metrics()
            for (reason, count) in counts {
                #expect(metrics["latchstring_edge_hello_rejected_total{reason=\"\(reason)\"}"] == count, "\(reason)")
            }
            #expect(edge.process.lines("client hello refused").count == Self.cases.count)
            _ = try eventually("all descriptors closed") { edge.process.openDescriptors <= descriptors ? true : nil }
            #expect(edge.process.isRunning)
        }
    }

    @Test func ordinaryClientsAreToldWhatIsWrong() async throws {
        let workspace = try Workspace()
        try await blocking {
            let edge = try RunningEdge(Self.sites, in: workspace)
            defer { edge.stop() }
            let unknown = try Tool.openssl(edge.port, workspace, "-servername", "no.test")
            #expect(unknown.all.contains("unrecognized name"), "\(unknown.all)")
            let nameless = try Tool.openssl(edge.port, workspace, "-noservername")
            #expect(nameless.all.contains("SSL alert number 109"), "\(nameless.all)")
            let old = try Tool.openssl(
                edge.port, workspace, "-servername", "www.example.test", "-tls1", "-cipher", "DEFAULT@SECLEVEL=0")
            #expect(old.all.contains("alert protocol version"), "\(old.all)")
            let dotted = try Tool.openssl(edge.port, workspace, "-servername", "www.example.test.")
            #expect(dotted.all.contains("alert illegal parameter"), "\(dotted.all)")

            let plain = try Tool.curl("http://www.example.test:80/", to: edge.port, workspace, "-i")
            #expect(plain.status == 0)
            #expect(plain.output.hasPrefix("HTTP/1.1 400 "), "\(plain.all)")
            #expect(plain.output.contains("This port speaks HTTPS"))
            let address = try Tool.curl("https://127.0.0.1:443/", to: edge.port, workspace)
            #expect(address.status == 35, "\(address.all)")
        }
    }
}
