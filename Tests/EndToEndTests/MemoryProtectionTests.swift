import Foundation
import PrivateAuthority
import TestSockets
import Testing

@testable import latchstring

/// That the processes which hold secrets leave no core files, are not read by others, and keep keys out of swap.
@Suite(.serialized, .timeLimit(.minutes(3))) struct MemoryProtectionTests {
    private static func workspace() throws -> Workspace {
        let workspace = try Workspace()
        try workspace.makeIdentity(.keyholder, "home")
        try workspace.makeSite("www.test")
        try workspace.write(
            """
            role: keyholder
            listen: 127.0.0.1:0
            identity: {certificate: keyholder-home.pem, key: keyholder-home.key, authority: authority.pem}
            sites: [{certificate: www.test.pem, key: www.test.key}]
            grants: [{edge: paris, sites: [www.test], operations: [handoff]}]
            audit: audit.jsonl
            log: {format: json}
            """, to: "keyholder.yaml")
        try workspace.write(
            """
            role: edge
            listen: [127.0.0.1:0]
            sites: [{domains: [www.test], mode: relay, origin: {address: "127.0.0.1:9"}}]
            log: {format: json}
            """, to: "edge.yaml")
        return workspace
    }

    /// The fields of a line of `/proc/PID/FILE` that begins with `name`.
    private static func fields(_ file: String, _ name: String, _ pid: Int32) throws -> [Substring] {
        let text = try String(contentsOfFile: "/proc/\(pid)/\(file)", encoding: .utf8)
        let line = text.split(separator: "\n").first { $0.hasPrefix(name) }
        return line?.dropFirst(name.count).split(whereSeparator: \.isWhitespace) ?? []
    }

    @Test("No core file of a key holder or an edge", arguments: ["keyholder", "edge"])
    func coreFiles(role: String) async throws {
        let workspace = try Self.workspace()
        try await blocking {
            let process = try TestProcess([role, "--config", "\(role).yaml"], name: role, in: workspace)
            defer { process.stop() }
            _ = try process.listeningPort()
            #expect(try Self.fields("limits", "Max core file size", process.pid) == ["0", "0", "bytes"])
        }
    }

    /// The kernel gives the files below `/proc/PID` of a process that is not dumpable to root and its group: so a process of
    /// another group shows which it is.
    @Test(
        "Not dumpable, so that no crash collector gets its memory, but where that is asked for",
        .enabled(if: geteuid() == 0 && Tool.exists("setpriv")),
        arguments: [("keyholder", false), ("edge", false), ("edge", true)])
    func dumpable(role: String, inspectable: Bool) async throws {
        let workspace = try Self.workspace()
        try await blocking {
            let arguments = [role, "--config", workspace.path("\(role).yaml")] + (inspectable ? ["--inspectable"] : [])
            let process = try TestProcess(
                ["--regid", "65534", "--clear-groups", TestProcess.executable.path] + arguments, name: role,
                program: "/usr/bin/setpriv", in: workspace)
            defer { process.stop() }
            _ = try process.listeningPort()
            let attributes = try FileManager.default.attributesOfItem(atPath: "/proc/\(process.pid)/maps")
            #expect((attributes[.groupOwnerAccountID] as? NSNumber)?.intValue == (inspectable ? 65534 : 0))
        }
    }

    @Test("A key holder locks its memory where it may, and says what came of it")
    func locking() async throws {
        let workspace = try Self.workspace()
        try await blocking {
            let process = try TestProcess(
                ["keyholder", "--config", "keyholder.yaml"], name: "keyholder", in: workspace)
            defer { process.stop() }
            _ = try process.listeningPort()
            let locked = Int(try Self.fields("status", "VmLck:", process.pid).first ?? "0") ?? 0
            let message = process.log.first { $0.message.hasPrefix("memory is ") }?.message
            if locked > 0 {
                #expect(message == "memory is locked: no key can be written to swap")
            } else {
                #expect(message?.hasPrefix("memory is not locked") == true)
            }
        }
    }

    /// With a limit, and without the right to go beyond it, locking would make later allocations fail.
    @Test(
        "Under a limit nothing is locked, and the limit stays as it was",
        .enabled(if: geteuid() == 0 && Tool.exists("setpriv") && Tool.exists("prlimit")))
    func limited() async throws {
        let workspace = try Self.workspace()
        try await blocking {
            let process = try TestProcess(
                [
                    "--memlock=4194304", "/usr/bin/setpriv", "--bounding-set=-ipc_lock", "--inh-caps=-ipc_lock",
                    TestProcess.executable.path, "keyholder", "--config", workspace.path("keyholder.yaml"),
                ], name: "keyholder", program: "/usr/bin/prlimit", in: workspace)
            defer { process.stop() }
            _ = try process.listeningPort()
            #expect(try Self.fields("status", "VmLck:", process.pid).first == "0")
            #expect(try Self.fields("limits", "Max locked memory", process.pid) == ["4194304", "4194304", "bytes"])
            #expect(process.log.contains { $0.message.hasPrefix("memory is not locked") })
        }
    }
}
