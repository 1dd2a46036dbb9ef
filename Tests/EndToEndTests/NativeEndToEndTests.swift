import Foundation
import NIOCore
import NativeClient
import NativeHandshake
import PrivateAuthority
import TLSWire
import TestSockets
import Testing

/// The native handshake and its stream, through real edge and key holder processes.
@Suite(.serialized, .timeLimit(.minutes(10))) struct NativeEndToEndTests {
    /// Sends while it reads, ends, and gives what came back.
    private func echo(_ options: NativeOptions, bytes: Int) async throws -> Int {
        try await NativeConnection.with(options) { connection in
            try await withThrowingTaskGroup(of: Int.self) { group in
                group.addTask {
                    let part = ByteBuffer(repeating: 0x5A, count: 256 << 10)
                    var left: Int = bytes
                    while left > 0 {
                        try await connection.send(part.getSlice(at: 0, length: min(left, part.readableBytes)) ?? part)
                        left -= min(left, part.readableBytes)
                    }
                    try await connection.finish()
                    return 0
                }
                group.addTask {
                    var count: Int = 0
                    for try await part in connection.bytes {
                        guard part.readableBytesView.first == 0x5A else { throw NativeError.badRecord }
                        count += part.readableBytes
                    }
                    return count
                }
                return try await group.reduce(0, +)
            }
        }
    }

    @Test func bothVariantsWithBothKindsOfKeysEcho() async throws {
        let stage = try await NativeStage(
            [("p256.test", .p256), ("rsa.test", .rsa2048)], application: TestApplication(.echo))
        for variant in NativeVariant.allCases {
            for domain in ["p256.test", "rsa.test"] {
                let count: Int = try await self.echo(try stage.options(domain, variant), bytes: 700_001)
                #expect(count == 700_001, "\(domain), \(variant)")
                try stage.waitForAudit("\(domain) \(variant)") {
                    $0["operation"] == "native" && $0["site"] == domain && $0["outcome"] == "ok"
                        && $0["client"] == "127.0.0.1" && $0["edge"] == "paris" && $0["detail"] == "\(variant)"
                }
            }
        }
        #expect(try stage.edge.metric("latchstring_edge_native_connections_total") == 4)
        try await stage.stop()
    }

    @Test func aPageIsFetched() async throws {
        let stage = try await NativeStage([("www.test", .p256)], application: TestApplication(.page("native hello")))
        let events = Steps()
        let text: String = try await NativeConnection.with(
            try stage.options("www.test", .originDerived), report: { events.add($0) }
        ) { connection in
            #expect(connection.variant == .originDerived)
            #expect(connection.keyKind == .p256)
            try await connection.send(ByteBuffer(string: "GET / HTTP/1.1\r\nHost: www.test\r\n\r\n"))
            var answer = ByteBuffer()
            for try await part in connection.bytes { answer.writeImmutableBuffer(part) }
            return String(buffer: answer)
        }
        #expect(text.hasSuffix("\r\n\r\nnative hello"))
        #expect(events.names.first == "connected")
        #expect(events.names.last == "established")
        #expect(events.names.contains("chainVerified"))
        try await stage.stop()
    }

    /// 16 MiB; with LATCHSTRING_NATIVE_BYTES in the environment, so many.
    @Test func muchDataPassesInConstantMemory() async throws {
        let bytes: Int =
            ProcessInfo.processInfo.environment["LATCHSTRING_NATIVE_BYTES"].flatMap { Int($0) } ?? 16 << 20
        let stage = try await NativeStage([("www.test", .p256)], application: TestApplication(.echo))
        _ = try await self.echo(try stage.options("www.test", .clientDerived), bytes: 4 << 20)
        let before: (Int, Int) = (Self.peakKiB(stage.edge.process.pid), Self.peakKiB(stage.keyHolder.pid))
        #expect(try await self.echo(try stage.options("www.test", .clientDerived), bytes: bytes) == bytes)
        let after: (Int, Int) = (Self.peakKiB(stage.edge.process.pid), Self.peakKiB(stage.keyHolder.pid))
        print(
            "peak KiB before and after \(bytes) bytes: edge \(before.0), \(after.0); key holder \(before.1), \(after.1)"
        )
        #expect(after.0 - before.0 < 24 << 10 && after.1 - before.1 < 24 << 10)
        try await stage.stop()
    }

    private static func peakKiB(_ pid: Int32) -> Int {
        let text: String = (try? String(contentsOfFile: "/proc/\(pid)/status", encoding: .utf8)) ?? ""
        let line: Substring? = text.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
        return line?.split(separator: " ").compactMap { Int($0) }.first ?? 0
    }

    // MARK: Refusals

    private func failure(_ options: NativeOptions) async -> NativeError? {
        do {
            _ = try await self.echo(options, bytes: 1)
            return nil
        } catch {
            return error as? NativeError
        }
    }

    @Test func namesAndVariantsThatAreNotServedGetTheRightAlert() async throws {
        let stage = try await NativeStage(
            [("www.test", .p256)], application: TestApplication(.echo),
            site: "application: { address: ADDRESS, variants: [origin-derived] }")
        #expect(await self.failure(try stage.options("other.test", .originDerived)) == .alert(.unknownName))
        try stage.edge.process.wait(for: "client hello refused") { $0["reason"] == "native: unknown name" }
        #expect(await self.failure(try stage.options("www.test", .clientDerived)) == .alert(.notAllowed))
        try stage.waitForAudit("variant refused") { $0["operation"] == "native" && $0["outcome"] == "denied" }
        #expect(await self.failure(try stage.options("www.test", .originDerived)) == nil)
        var foreign: NativeOptions = try stage.options("www.test", .originDerived)
        foreign.roots = try ClientRoots(pem: try TestSiteAuthority(name: "others").certificatePEM)
        guard case .certificateRefused(let why)? = await self.failure(foreign) else {
            return #expect(Bool(false), "an unknown authority was accepted")
        }
        #expect(why.contains("no path leads"))
        try stage.waitForAudit("client refused") { $0["outcome"] == "abandoned" && $0["operation"] == "native" }
        try await stage.stop()
    }

    @Test func anEdgeWithoutTheGrantGetsNothing() async throws {
        let stage = try await NativeStage(
            [("www.test", .p256)], application: TestApplication(.echo), operations: "keyless")
        #expect(await self.failure(try stage.options("www.test", .originDerived)) == .alert(.notAllowed))
        try stage.waitForAudit("denied") { $0["operation"] == "native" && $0["outcome"] == "denied" }
        try await stage.stop()
    }

    @Test func aSiteThatTurnsItOffRefuses() async throws {
        let stage = try await NativeStage(
            [("www.test", .p256)], application: TestApplication(.echo), edgeSite: "native: false")
        #expect(await self.failure(try stage.options("www.test", .originDerived)) == .alert(.notAllowed))
        try await stage.stop()
    }

    @Test func anApplicationOrKeyHolderThatIsAwayIsUnavailable() async throws {
        let stage = try await NativeStage([("www.test", .p256)], application: TestApplication(.echo))
        try await stage.application?.stop()
        #expect(await self.failure(try stage.options("www.test", .originDerived)) == .alert(.unavailable))
        try stage.waitForAudit("application unavailable") {
            $0["operation"] == "native" && $0["outcome"] == "unavailable"
        }
        stage.keyHolder.stop()
        #expect(await self.failure(try stage.options("www.test", .originDerived)) == .alert(.unavailable))
        try stage.edge.process.wait(for: "native connection not forwarded")
        try await stage.stop()
    }

    @Test func anEd25519SiteIsRefusedWithTheReason() async throws {
        let workspace = try Workspace()
        try workspace.makeSite("www.test", keyType: .ed25519)
        try workspace.makeIdentity(.keyholder, "home")
        try NativeStage.configure(
            workspace, ["www.test"], native: try Workspace.freePort(), site: "application: ADDRESS", application: 9,
            "native")
        let process = try TestProcess(["keyholder", "--config", "home.yaml"], name: "home", in: workspace)
        #expect(try process.waitForExit() != 0)
        #expect(process.text.contains("can sign but not decrypt"), "\(process.text)")
    }

    // MARK: Breaks

    @Test func aStreamThatBreaksIsTruncatedAndNeverComplete() async throws {
        let stage = try await NativeStage([("www.test", .p256)], application: TestApplication(.echo))
        let options: NativeOptions = try stage.options("www.test", .originDerived)
        await #expect(throws: (any Error).self) {
            try await NativeConnection.with(options) { connection in
                try await connection.send(ByteBuffer(string: "hello"))
                for try await part in connection.bytes {
                    #expect(String(buffer: part) == "hello")
                    stage.keyHolder.kill9()
                }
            }
        }
        try await stage.stop()
    }

    @Test func aReloadThatTakesTheGrantCutsStreamsOff() async throws {
        let stage = try await NativeStage([("www.test", .p256)], application: TestApplication(.echo))
        let options: NativeOptions = try stage.options("www.test", .originDerived)
        await #expect(throws: (any Error).self) {
            try await NativeConnection.with(options) { connection in
                try await connection.send(ByteBuffer(string: "hello"))
                for try await _ in connection.bytes {
                    let text: String = try stage.workspace.read("home.yaml")
                    try stage.workspace.write(
                        text.replacing("operations: [native]", with: "operations: [keyless]"), to: "home.yaml")
                    kill(stage.keyHolder.pid, SIGHUP)
                }
            }
        }
        try stage.waitForAudit("cut off") { $0["operation"] == "connection" && $0["outcome"] == "cut-off" }
        try await stage.stop()
    }
}

/// Remembers the events' names.
private final class Steps: @unchecked Sendable {
    private let lock = NSLock()
    // Guarded by the lock.
    private var list: [String] = []

    func add(_ event: TimedNativeEvent) {
        let name = String("\(event.event)".prefix { $0 != "(" })
        self.lock.withLock { self.list.append(name) }
    }

    var names: [String] { self.lock.withLock { self.list } }
}
