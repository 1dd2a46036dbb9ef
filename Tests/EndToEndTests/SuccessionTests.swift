import Foundation
import Logging
import NIOConcurrencyHelpers
import Testing

@testable import Settings
@testable import latchstring

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The parts of a hand-over and of a renewed identity, without processes.
@Suite(.timeLimit(.minutes(1))) struct SuccessionTests {
    // MARK: Whether a successor would live

    @Test func aSuccessorThatWouldEndWithThisProcessIsNotStarted() {
        func bond(_ number: Int32, _ first: String? = nil, unit: Bool = false, heard: Bool = false) -> String? {
            ProcessSurroundings(number: number, firstProgram: first, isInUnit: unit, isHeard: heard).bond
        }
        #expect(bond(1)?.contains("container") == true)
        #expect(bond(1, unit: true, heard: true)?.contains("container") == true)
        #expect(bond(7, "tini", heard: true)?.contains("container") == true)
        #expect(bond(7, "systemd") == nil)
        #expect(bond(7, unit: true)?.contains("Type=notify") == true)
        #expect(bond(7, "systemd", unit: true, heard: true) == nil)
        #expect(bond(7) == nil)
    }

    // MARK: The process before

    /// A predecessor, whose end of the link the test has.
    private final class Former: Sendable {
        let predecessor: Predecessor
        let end: CInt
        let parent = NIOLockedValueBox<pid_t>(7)

        init() async throws {
            var pair: [CInt] = [-1, -1]
            try #require(socketpair(AF_UNIX, CInt(SOCK_STREAM.rawValue) | CInt(SOCK_CLOEXEC.rawValue), 0, &pair) == 0)
            self.end = pair[1]
            let parent = self.parent
            self.predecessor = try await Predecessor(pair[0], parent: { parent.withLockedValue { $0 } })
        }

        func say(_ line: String) {
            _ = Array("\(line)\n".utf8).withUnsafeBytes { write(self.end, $0.baseAddress, $0.count) }
        }

        /// Waits for a question.
        func hear() async throws {
            try await eventuallyAsync {
                var bytes = [UInt8](repeating: 0, count: 64)
                return recv(self.end, &bytes, bytes.count, CInt(MSG_DONTWAIT)) > 0
            }
        }

        private func eventuallyAsync(_ isSo: () -> Bool) async throws {
            for _ in 0..<1000 {
                if isSo() { return }
                try await Task.sleep(for: .milliseconds(5))
            }
            Issue.record("nothing was asked")
        }

        /// Begins a purge, and tells when it has returned.
        func purge() -> NIOLockedValueBox<Bool> {
            let isDone = NIOLockedValueBox(false)
            Task {
                await self.predecessor.purge()
                isDone.withLockedValue { $0 = true }
            }
            return isDone
        }
    }

    private static func isSoon(_ box: NIOLockedValueBox<Bool>) async throws -> Bool {
        for _ in 0..<60 {
            if box.withLockedValue({ $0 }) { return true }
            try await Task.sleep(for: .milliseconds(5))
        }
        return false
    }

    @Test func aPurgeIsNotDoneWhereThePredecessorGoesOn() async throws {
        let former = try await Former()
        let asked = former.purge()
        try await former.hear()
        close(former.end)
        #expect(try await !Self.isSoon(asked))
        let after = former.purge()
        #expect(try await !Self.isSoon(after))
        // It has died.
        former.parent.withLockedValue { $0 = 1 }
        #expect(try await Self.isSoon(asked))
        #expect(try await Self.isSoon(after))
    }

    @Test func aPurgeIsDoneWhereThePredecessorHasHandedOver() async throws {
        let former = try await Former()
        async let relieved: Void = former.predecessor.relieve([0])
        try await former.hear()
        former.say("yours")
        try await relieved
        let answered = former.purge()
        try await former.hear()
        former.say("purged")
        #expect(try await Self.isSoon(answered))
        close(former.end)
        let after = former.purge()
        #expect(try await Self.isSoon(after))
    }

    @Test func aLinkEndsBeforeTheParentIsAnotherOne() async throws {
        let former = try await Former()
        async let relieved: Void = former.predecessor.relieve([0])
        try await former.hear()
        close(former.end)
        try await Task.sleep(for: .milliseconds(40))
        former.parent.withLockedValue { $0 = 1 }
        try await relieved
        let other = try await Former()
        close(other.end)
        await #expect(throws: Predecessor.Gone.self) { try await other.predecessor.relieve([0]) }
    }

    /// The admin port and that for monitoring wait for the same.
    @Test func aGateOpensForAllThatWait() async throws {
        let gate = StartGate()
        async let first = gate.wait()
        async let second = gate.wait()
        try await Task.sleep(for: .milliseconds(20))
        gate.open()
        let (one, other, later) = (await first, await second, await gate.wait())
        #expect(one && other && later)
    }

    // MARK: A renewed identity

    @Test func aRenewedIdentityStaysDueUntilItIsRead() {
        var turns = IdentityTurns(["a"])
        #expect(turns.isDue(["a"]) == false)
        // It may be half written.
        #expect(turns.isDue(["b"]) == false)
        #expect(turns.isDue(["b"]) == true)
        #expect(turns.postpone(["b"]) == true)
        #expect(turns.isDue(["b"]) == true)
        #expect(turns.postpone(["b"]) == false)
        #expect(turns.isDue(["b"]) == true)
        turns.read(["b"])
        #expect(turns.isDue(["b"]) == false)
    }

    @Test func filesThatChangeWhileTheyAreReadAreReadAgain() {
        var turns = IdentityTurns(["a"])
        #expect(turns.isDue(["b"]) == false)
        #expect(turns.isDue(["b"]) == true)
        // The state is that from before the reading; they were written once more meanwhile.
        turns.read(["b"], isInForce: true)
        #expect(turns.isInForce(["b"]) && !turns.isInForce(["c"]))
        #expect(turns.isDue(["c"]) == false)
        #expect(turns.isDue(["c"]) == true)
        // What cannot be used is not read again until it changes once more, be it back to what is in force.
        turns.read(["c"])
        #expect(turns.isDue(["c"]) == false)
        #expect(!turns.isInForce(["c"]))
        #expect(turns.isDue(["b"]) == false)
        #expect(turns.isDue(["b"]) == true)
    }

    @Test func filesOfAnIdentityThatGoOnChangingAreLeftAlone() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "busy-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        let path = "\(folder)/cert.pem"
        func write(_ text: String) throws { try Data(text.utf8).write(to: URL(filePath: path)) }
        try write("one")
        let identity = IdentitySettings(
            location: SourceLocation(file: "edge.yaml", line: 1, column: 1), certificate: path, key: path,
            authority: path)
        let renewals = NIOLockedValueBox(0)
        let watch = IdentityWatch(
            identity: { identity }, renew: { renewals.withLockedValue { $0 += 1 } }, interval: .milliseconds(200),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let run = Task { try await watch.run() }
        defer { run.cancel() }
        for number in 0..<40 {
            try write(String(repeating: "x", count: number + 1))
            try await Task.sleep(for: .milliseconds(25))
        }
        #expect(renewals.withLockedValue { $0 } == 0)
        for _ in 0..<250 where renewals.withLockedValue({ $0 }) == 0 { try await Task.sleep(for: .milliseconds(20)) }
        #expect(renewals.withLockedValue { $0 } == 1)
    }

    /// As a folder of secrets is renewed that a container is given: a link to another folder takes the place of the one before.
    @Test func anIdentityBehindLinksIsReadWhenTheyLeadElsewhere() async throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "links-\(UUID().uuidString)").path
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let names = ["cert.pem", "key.pem", "ca.pem"]
        for generation in ["one", "two"] {
            try FileManager.default.createDirectory(
                atPath: "\(folder)/\(generation)", withIntermediateDirectories: true)
            for name in names { try Data(generation.utf8).write(to: URL(filePath: "\(folder)/\(generation)/\(name)")) }
        }
        #expect(symlink("one", "\(folder)/..data") == 0)
        for name in names { #expect(symlink("..data/\(name)", "\(folder)/\(name)") == 0) }
        let identity = IdentitySettings(
            location: SourceLocation(file: "edge.yaml", line: 1, column: 1), certificate: "\(folder)/cert.pem",
            key: "\(folder)/key.pem", authority: "\(folder)/ca.pem")
        let renewals = NIOLockedValueBox(0)
        let watch = IdentityWatch(
            identity: { identity }, renew: { renewals.withLockedValue { $0 += 1 } }, interval: .milliseconds(20),
            logger: Logger(label: "test") { _ in SwiftLogNoOpLogHandler() })
        let run = Task { try await watch.run() }
        defer { run.cancel() }
        try await Task.sleep(for: .milliseconds(200))
        #expect(renewals.withLockedValue { $0 } == 0)
        #expect(symlink("two", "\(folder)/..data_tmp") == 0)
        #expect(rename("\(folder)/..data_tmp", "\(folder)/..data") == 0)
        for _ in 0..<250 where renewals.withLockedValue({ $0 }) == 0 { try await Task.sleep(for: .milliseconds(20)) }
        #expect(renewals.withLockedValue { $0 } == 1)
    }
}
