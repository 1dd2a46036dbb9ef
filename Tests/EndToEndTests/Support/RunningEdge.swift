import Foundation
import PrivateAuthority
import TestSockets

/// A `latchstring edge` process with its configuration, listening.
final class RunningEdge: Sendable {
    let process: TestProcess
    let port: UInt16
    let adminPort: UInt16

    /// Starts an edge and waits until it listens.
    ///
    /// - Parameters:
    ///   - sites: The `sites` part of the configuration, and whatever else is to stand in it, as YAML. Listener, admin
    ///     port, identity (`edge-paris`, made if missing) and log settings are added.
    ///   - descriptors: how many file descriptors it may have; nil: as many as this process.
    ///   - logIsRead: whether its log arrives. If not, it fills a pipe, and the port is not learned from it.
    init(
        _ yaml: String, name: String = "paris", descriptors: Int? = nil, logIsRead: Bool = true,
        in workspace: Workspace
    ) throws {
        let adminPort = try Workspace.freePort()
        let listenPort = logIsRead ? 0 : try Workspace.freePort()
        if !FileManager.default.fileExists(atPath: workspace.path("edge-\(name).pem")) {
            try workspace.makeIdentity(.edge, name)
        }
        let common = """
            role: edge
            listen: [127.0.0.1:\(listenPort)]
            admin: 127.0.0.1:\(adminPort)
            identity:
              certificate: edge-\(name).pem
              key: edge-\(name).key
              authority: authority.pem
            log: { level: debug, format: json }
            threads: 1

            """
        try workspace.write(common + yaml + "\n", to: "\(name).yaml")
        // Tests look into its memory and its descriptors.
        self.process = try TestProcess(
            ["edge", "--inspectable", "--config", "\(name).yaml"], name: name, descriptors: descriptors,
            logIsRead: logIsRead, in: workspace)
        self.adminPort = adminPort
        if logIsRead {
            self.port = try self.process.listeningPort()
        } else {
            self.port = listenPort
            _ = try eventually("a listener") { try? TestSocket.connect(port: listenPort) }
        }
    }

    func kill() { self.process.kill9() }

    func stop() { self.process.stop() }

    /// All metrics, by name and labels as Prometheus writes them: `name{label="value"}`.
    func metrics() throws -> [String: Double] {
        let socket = try TestSocket.connect(port: self.adminPort)
        try socket.send(Array("GET /metrics HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n".utf8))
        let text = String(decoding: try socket.receiveToEnd(), as: UTF8.self)
        var values: [String: Double] = [:]
        for line in text.split(whereSeparator: \.isNewline) where !line.hasPrefix("#") {
            guard let space = line.lastIndex(of: " "), let value = Double(line[line.index(after: space)...]) else {
                continue
            }
            values[String(line[..<space])] = value
        }
        return values
    }

    /// One metric; 0 if it is not there.
    func metric(_ name: String) throws -> Double { try self.metrics()[name] ?? 0 }
}
