import FoundationEssentials
import Glibc
import TestToken
import Testing

@testable import DemoKit

/// `latchstring demo` as a user runs it.
@Suite(.serialized) struct DemoCommandTests {
    @Test(.timeLimit(.minutes(3))) func onceEndsWithEverythingProvedAndNothingLeftBehind() async throws {
        let demo = try DemoRun(arguments: ["demo", "--once"])
        let status = try await demo.waitForEnd()
        let output = try demo.output()
        #expect(status == 0, "\(output)")
        for (mode, count) in [("relay", 6), ("handoff", 6), ("keyless", 6), ("native", 4)] {
            let rows = output.split(separator: "\n").filter { $0.hasPrefix("  \(mode) ") && $0.contains("verified") }
            #expect(rows.count == count, "\(output)")
            #expect(rows.allSatisfy { $0.contains(" 200 ") }, "\(output)")
        }
        #expect(output.contains("Everything held."))
        #expect(!output.contains("\u{1B}"), "colours belong on terminals only")
        #expect(try demo.leftovers().isEmpty)
    }

    /// The token's keys sign, and are not in the key holder's memory.
    @Test(.enabled(if: SoftToken.isInstalled, "softhsm2 is not installed"), .timeLimit(.minutes(3)))
    func keysOnATokenAreNotAtTheKeyHolder() async throws {
        let demo = try DemoRun(arguments: ["demo", "--once", "--hsm"])
        let status = try await demo.waitForEnd()
        let output = try demo.output()
        #expect(status == 0, "\(output)")
        for (mode, count) in [("relay", 6), ("handoff", 6), ("keyless", 6), ("native", 0)] {
            let rows = output.split(separator: "\n").filter { $0.hasPrefix("  \(mode) ") && $0.contains("verified") }
            #expect(rows.count == count, "\(output)")
        }
        let onToken = output.split(separator: "\n").filter { $0.contains("on the token") }
        #expect(onToken.count == 4, "\(output)")
        #expect(onToken.allSatisfy { $0.contains("0 hits") && !$0.contains("1 hit") }, "\(output)")
        #expect(output.contains("Everything held."))
        #expect(try demo.leftovers().isEmpty)
    }

    /// Stands for Ctrl-C: the demo serves until then, and takes its processes and files with it.
    @Test(.timeLimit(.minutes(3))) func interruptEndsAllInOrder() async throws {
        let demo = try DemoRun(arguments: ["demo"])
        let output = try await demo.waitForOutput("Ctrl-C")
        let pids = output.split(separator: "\n").compactMap { line -> Int32? in
            guard let words = line.split(separator: "(process ").last else { return nil }
            return line.contains("(process ") ? Int32(words.prefix { $0.isNumber }) : nil
        }
        #expect(pids.count == 3)
        #expect(pids.allSatisfy { kill($0, 0) == 0 })
        #expect(try demo.leftovers().count == 1)
        demo.interrupt()
        #expect(try await demo.waitForEnd() == 0)
        #expect(pids.allSatisfy { kill($0, 0) != 0 })
        #expect(try demo.leftovers().isEmpty)
    }

    /// Not even a demo that is killed leaves processes behind.
    @Test(.timeLimit(.minutes(3))) func childrenEndWithAKilledDemo() async throws {
        let demo = try DemoRun(arguments: ["demo"])
        let output = try await demo.waitForOutput("origin is up")
        let pid = try #require(output.split(separator: "(process ").last.flatMap { Int32($0.prefix { $0.isNumber }) })
        demo.kill()
        _ = try await demo.waitForEnd()
        let deadline = ContinuousClock.now + .seconds(20)
        while Glibc.kill(pid, 0) == 0, !Self.isZombie(pid), ContinuousClock.now < deadline {
            try await Task.sleep(for: .milliseconds(10))
        }
        #expect(Glibc.kill(pid, 0) != 0 || Self.isZombie(pid))
    }

    /// Ended, but not yet waited for by the process that inherited it.
    private static func isZombie(_ pid: Int32) -> Bool {
        guard let data = FileManager.default.contents(atPath: "/proc/\(pid)/stat") else { return true }
        return String(decoding: data, as: UTF8.self).split(separator: ")").last?.hasPrefix(" Z") ?? true
    }
}

/// One run of the program, with a temporary directory of its own in which the demo makes its own.
private final class DemoRun {
    private let directory: String
    private let pid: Int32

    init(arguments: [String]) throws {
        directory = try DemoStage.makeTemporaryDirectory()
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_addopen(&actions, 1, "\(directory)/output", O_CREAT | O_WRONLY | O_APPEND, 0o600)
        posix_spawn_file_actions_adddup2(&actions, 1, 2)
        var list: [UnsafeMutablePointer<CChar>?] = (["latchstring"] + arguments).map { strdup($0) } + [nil]
        let environment = ProcessInfo.processInfo.environment.merging(["TMPDIR": directory]) { $1 }
        var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup("\($0)=\($1)") } + [nil]
        defer { (list + variables).forEach { free($0) } }
        var pid: pid_t = 0
        let failure = posix_spawn(&pid, DemoProcessTests.executable, &actions, nil, &list, &variables)
        guard failure == 0 else { throw DemoFailure.system("start the demo", failure) }
        self.pid = pid
    }

    deinit { try? FileManager.default.removeItem(atPath: directory) }

    func interrupt() { _ = Glibc.kill(pid, SIGINT) }

    func kill() { _ = Glibc.kill(pid, SIGKILL) }

    func output() throws -> String {
        String(decoding: FileManager.default.contents(atPath: "\(directory)/output") ?? Data(), as: UTF8.self)
    }

    /// What the demo has in its temporary directory now.
    func leftovers() throws -> [String] {
        try FileManager.default.contentsOfDirectory(atPath: directory).filter { $0 != "output" }
    }

    /// All output once it contains `text`.
    func waitForOutput(_ text: String) async throws -> String {
        while true {
            let output = try output()
            if output.contains(text) { return output }
            var status: Int32 = 0
            guard waitpid(pid, &status, WNOHANG) == 0 else {
                throw DemoFailure.unexpectedOutput("the demo ended early:\n\(output)")
            }
            try await Task.sleep(for: .milliseconds(10))
        }
    }

    /// The exit status, or minus the signal that ended it.
    func waitForEnd() async throws -> Int32 {
        var status: Int32 = 0
        while waitpid(pid, &status, WNOHANG) == 0 {
            try await Task.sleep(for: .milliseconds(10))
        }
        return status & 0x7F == 0 ? status >> 8 & 0xFF : -(status & 0x7F)
    }
}
