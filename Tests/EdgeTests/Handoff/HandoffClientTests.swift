import Foundation
import NIOCore
import NIOSSL
import TestSockets
import TestWire
import Testing

@testable import Edge

/// Ordinary clients, the real key holder, one process.
@Suite(.serialized, .timeLimit(.minutes(5))) struct HandoffClientTests {
    @Test(arguments: HandoffBench.sites, ["1.3", "1.2"])
    func curl(site: String, version: String) async throws {
        // BoringSSL does not use Ed25519 certificates below TLS 1.3 for clients that do not insist.
        try await HandoffBench.run { bench in
            let result = try await bench.curl(site, "/5", "--tls-max", version, "--http1.1")
            #expect(result.output == "xxxxx", "\(result.errors)")
        }
    }

    @Test func curlSendsAndFetchesMuch() async throws {
        try await HandoffBench.run { bench in
            let file = bench.file("upload")
            try Data(repeating: 7, count: 3_000_000).write(to: URL(filePath: file))
            let up = try await bench.curl(
                "p256.test", "/", "--http1.1", "--data-binary", "@\(file)", "-o", bench.file("down"))
            #expect(up.status == 0, "\(up.errors)")
            #expect(try Data(contentsOf: URL(filePath: bench.file("down"))).count == 3_000_000)
            let twice = try await bench.curl(
                "p256.test", "/1000000", "--http1.1", "https://p256.test/70000", "-o", "/dev/null", "-o", "/dev/null",
                "-w", "%{size_download} %{num_connects}\n")
            #expect(twice.output == "1000000 1\n70000 0\n", "\(twice.errors)")
        }
    }

    @Test(arguments: [
        "TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256",
    ])
    func opensslSuites13(suite: String) async throws {
        try await HandoffBench.run { bench in
            let result = try await bench.openssl("p256.test", "-tls1_3", "-ciphersuites", suite)
            #expect(result.all.contains("HTTP/1.1 200"), "\(result.all)")
            #expect(result.all.contains("Cipher is \(suite)"))
        }
    }

    @Test(arguments: [
        "ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-ECDSA-CHACHA20-POLY1305",
        "ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-RSA-CHACHA20-POLY1305",
    ])
    func opensslSuites12(suite: String) async throws {
        try await HandoffBench.run { bench in
            let site = suite.contains("RSA-") ? "rsa.test" : "p256.test"
            let result = try await bench.openssl(
                site, "-tls1_2", "-cipher", suite,
                input: "GET /5 HTTP/1.1\r\nHost: \(site)\r\nConnection: close\r\n\r\n")
            #expect(result.all.contains("HTTP/1.1 200"), "\(result.all)")
        }
    }

    /// P-384 is offered without a share first: HelloRetryRequest.
    @Test(arguments: ["X25519", "P-256", "X25519:P-384", "P-521:P-256"])
    func opensslGroups(groups: String) async throws {
        try await HandoffBench.run { bench in
            let result = try await bench.openssl("p256.test", "-tls1_3", "-groups", groups)
            #expect(result.all.contains("HTTP/1.1 200"), "\(result.all)")
        }
    }

    @Test(arguments: ["-tls1_3", "-tls1_2"])
    func opensslResumes(version: String) async throws {
        try await HandoffBench.run { bench in
            let file = bench.file("session")
            let first = try await bench.openssl("p256.test", version, "-sess_out", file)
            #expect(first.all.contains("New, TLSv1."), "\(first.all)")
            let second = try await bench.openssl("p256.test", version, "-sess_in", file)
            #expect(second.all.contains("Reused, TLSv1."), "\(second.all)")
            #expect(second.all.contains("HTTP/1.1 200"))
        }
    }

    /// `K` sends a KeyUpdate that asks for one in turn, `k` one that does not.
    @Test func opensslUpdatesItsKeys() async throws {
        try await HandoffBench.run { bench in
            let request = HandoffBench.lastRequest.replacingOccurrences(of: "Connection: close\r\n", with: "")
            try await blocking {
                let output = bench.file("output")
                try Data().write(to: URL(filePath: output))
                let input = try ChildPipe()
                let file = try FileHandle(forWritingTo: URL(filePath: output))
                let process = try ChildProcess(
                    "timeout",
                    [
                        "30", "openssl", "s_client", "-connect", "127.0.0.1:\(bench.port)", "-servername",
                        "p256.test", "-CAfile", bench.rootsFile, "-tls1_3",
                    ], input: input.reading.fileDescriptor, output: file.fileDescriptor, errors: file.fileDescriptor)
                try input.reading.close()
                func say(_ text: String, until answer: String, times: Int) throws {
                    try input.writing.write(contentsOf: Data(text.utf8))
                    _ = try eventually(answer) {
                        let text = (try? String(contentsOfFile: output, encoding: .utf8)) ?? ""
                        return text.components(separatedBy: answer).count > times ? true : nil
                    }
                }
                try say(request, until: "HTTP/1.1 200", times: 1)
                try say("K\n", until: "KEYUPDATE", times: 1)
                try say(request, until: "HTTP/1.1 200", times: 2)
                try say("k\n", until: "KEYUPDATE", times: 2)
                try say(request, until: "HTTP/1.1 200", times: 3)
                try input.writing.close()
                _ = process.waitForEnd()
            }
        }
    }

    @Test(arguments: [TLSVersion.tlsv13, .tlsv12])
    func swiftNIOSSL(version: TLSVersion) async throws {
        try await HandoffBench.run { bench in
            let wire = try await bench.connect {
                $0.minimumTLSVersion = version; $0.maximumTLSVersion = version
            }
            for size in [0, 1, 16_384, 300_000] {
                try await wire.send("GET /\(size) HTTP/1.1\r\nHost: p256.test\r\n\r\n")
                let response = try await wire.readResponse()
                #expect(response.status == 200)
                #expect(response.body.readableBytes == size)
            }
            // An orderly end, with close_notify.
            try await wire.send(HandoffBench.lastRequest)
            #expect(try await wire.readToEnd().hasSuffix("xxxxx"))
        }
    }

    /// RFC 8446 §6.1: close_notify ends one direction only.
    @Test func aClientThatEndsItsSideGetsItsAnswer() async throws {
        try await HandoffBench.run { bench in
            let wire = try await bench.connect { $0.minimumTLSVersion = .tlsv13 }
            try await wire.send("GET /300000 HTTP/1.1\r\nHost: p256.test\r\n\r\n")
            wire.channel.close(mode: .output, promise: nil)
            #expect(try await wire.readResponse().body.readableBytes == 300_000)
            #expect(try await wire.readToEnd() == "")
        }
    }

    /// Both modes through one edge: the responses are the same, byte for byte but for the date.
    @Test func aMisdirectedRequestIsRefusedAsEverywhere() async throws {
        try await HandoffBench.run { bench in
            let wire = try await bench.connect()
            try await wire.send("GET /5 HTTP/1.1\r\nHost: rsa.test\r\n\r\n")
            #expect(try await wire.readResponse().status == 421)
        }
    }

    @Test func oneAuditLineForEachHandshake() async throws {
        try await HandoffBench.run { bench in
            _ = try await bench.curl("p256.test")
            let lines = try await blocking {
                try eventually("audit line") { () -> [String]? in
                    let lines = bench.audit.split(separator: "\n").map(String.init).filter {
                        $0.contains("\"operation\":\"handoff")
                    }
                    return lines.isEmpty ? nil : lines
                }
            }
            #expect(lines.count == 1)
            #expect(lines.first?.contains("p256.test") == true)
            #expect(lines.first?.contains("127.0.0.1") == true)
        }
    }
}
