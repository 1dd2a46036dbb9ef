import Foundation
import TestSockets
import Testing

@Suite("What the program says of itself") struct VersionTests {
    @Test("`latchstring --version`: the version, and the commit where the build was told")
    func version() throws {
        let workspace = try Workspace()
        let process = try TestProcess(["--version"], name: "version", in: workspace)
        #expect(try process.waitForExit() == 0)
        let text = process.text
        let match = try #require(
            text.wholeMatch(
                of: /latchstring (\d+\.\d+\.\d+(?:-[a-z0-9.]+)?)(?: \(commit ([0-9a-f]{7,40})(?:, with changes)?\))?\n/),
            "\(text)")
        let source = try String(
            contentsOf: Recipe.root.appending(path: "Sources/Telemetry/LatchstringVersion.swift"), encoding: .utf8)
        #expect(source.contains("\"\(match.1)\""))
        // Tests are built without it by hand, and with it by .ci/run.
        if let commit = ProcessInfo.processInfo.environment["LATCHSTRING_COMMIT"], !commit.isEmpty {
            #expect(match.2.map(String.init) == commit)
        }
    }

    @Test("Each command that is shown has a manual page without a warning")
    func manual() throws {
        let folder = try Workspace()
        let dump = try Tool.run(TestProcess.executable.path, ["--experimental-dump-help"])
        #expect(dump.status == 0)
        let pages = Recipe.root.appending(path: "Packaging/manpages.py").path
        let made = try Tool.run("python3", [pages, folder.url.path, "0.0.0", "2026-01-01"], input: dump.output)
        #expect(made.status == 0, "\(made.errors)")
        let names = try FileManager.default.contentsOfDirectory(atPath: folder.url.path).filter { $0.hasSuffix(".1") }
        for name in ["latchstring.1", "latchstring-edge.1", "latchstring-fleet-key.1", "latchstring-reload.1"] {
            #expect(names.contains(name))
        }
        #expect(!names.contains { $0.contains("demo-child") })
        let page = try folder.read("latchstring-reload.1")
        #expect(page.contains("\\fB\\-\\-revoke\\-old\\fR") && page.contains(".SH DESCRIPTION"))
    }
}
