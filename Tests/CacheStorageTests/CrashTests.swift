import Foundation
import NIOCore
import TestSockets
import Testing

/// Kills a process that fills, validates and purges, at random moments, again and again over one folder. Each process
/// first checks all that its forerunners left behind: every byte must be right or absent, and nothing purged may be back.
///
/// `LATCHSTRING_CRASH_SECONDS=600` goes on for longer.
@Suite struct CrashTests {
    @Test func survivesBeingKilled() async throws {
        let seconds: Double =
            ProcessInfo.processInfo.environment["LATCHSTRING_CRASH_SECONDS"].flatMap { Double($0) } ?? 20
        let folder = try TemporaryFolder()
        let helper: URL = try #require(Self.helper, "CacheCrashHelper is not built")
        let end = Date().addingTimeInterval(seconds)
        var random = Lehmer(seed: UInt64(Date().timeIntervalSince1970))
        var rounds = 0
        var checked = 0
        var found = 0
        while Date() < end {
            let output = try ChildPipe()
            let seed = "\(UInt32.random(in: 1...UInt32.max, using: &random))"
            let process = try ChildProcess(
                helper.path, [folder.path("store"), seed, folder.path("journal")],
                output: output.writing.fileDescriptor)
            try output.writing.close()
            // Most are killed while they write, some while they still check.
            if rounds % 8 == 7 {
                usleep(UInt32.random(in: 0..<60_000, using: &random))
            } else {
                let line = String(decoding: output.reading.availableData, as: UTF8.self)
                guard line.hasPrefix("ready ") else {
                    Issue.record("round \(rounds): \(line)")
                    return
                }
                checked += 1
                found += Int(line.dropFirst(6).prefix { $0.isNumber }) ?? 0
                usleep(UInt32.random(in: 0..<120_000, using: &random))
            }
            process.send(SIGKILL)
            #expect(process.waitForEnd() == .signal(SIGKILL), "it ended by itself")
            rounds += 1
        }
        print("crash test: \(rounds) kills, \(checked) checks, \(found) stored responses compared")
        #expect(checked > 5)
        #expect(found > checked, "hardly anything outlived a kill")
    }

    /// Beside the test bundle, where the build puts it.
    private static var helper: URL? {
        let tests: URL = URL(filePath: "/proc/self/exe").resolvingSymlinksInPath()
        let url: URL = tests.deletingLastPathComponent().appending(path: "CacheCrashHelper")
        return FileManager.default.isExecutableFile(atPath: url.path) ? url : nil
    }
}

/// A folder that goes with this.
final class TemporaryFolder: Sendable {
    let url: URL

    init() throws {
        self.url = FileManager.default.temporaryDirectory.appendingPathComponent("cache-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.url, withIntermediateDirectories: true)
    }

    deinit {
        try? FileManager.default.removeItem(at: self.url)
    }

    func path(_ name: String) -> String { self.url.appendingPathComponent(name).path }
}
