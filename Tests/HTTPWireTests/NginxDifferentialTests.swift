import Foundation
import HTTPFields
import HTTPWire
import NIOCore
import Synchronization
import TestSockets
import Testing

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// The same bytes through nginx as a proxy: the same requests arrive at the origin, and the same are refused, but for what is
/// listed. Runs where nginx is installed.
@Suite(.enabled(if: Nginx.isInstalled), .serialized) struct NginxDifferentialTests {
    @Test func corpusDiffersAsListed() async throws {
        let intended = IntendedDifferences.nginx
        let inputs = requestCases.map(\.input) + smugglingCorpus.map(\.input)
        let comparisons = try await blocking {
            let nginx = try Nginx()
            defer { nginx.stop() }
            return try inputs.map { input in
                (
                    input,
                    Comparison(
                        ours: readRequests(bytes(input)).compactMap(asOriginSeesIt),
                        theirs: try nginx.read(bytes(input)))
                )
            }
        }
        var stricter: Set<WireFault> = []
        var looser: Set<String> = []
        for (input, comparison) in comparisons {
            switch comparison.result {
            case .same: break
            case .stricter(let fault):
                stricter.insert(fault)
                #expect(
                    intended.stricter.contains(fault),
                    "\(input.debugDescription): \(fault), nginx: \(comparison.theirs)")
            case .looser:
                let reason = intended.reason(comparison, input)
                #expect(reason != nil, "\(input.debugDescription): \(comparison.ours), nginx: \(comparison.theirs)")
                if let reason { looser.insert(reason) }
            case .differs:
                Issue.record("\(input.debugDescription): \(comparison.ours), nginx: \(comparison.theirs)")
            }
        }
        #expect(comparisons.count > 200)
        #expect(stricter == intended.stricter, "listed, or seen, but not both")
        #expect(looser == Set(intended.looser.map(\.why)), "listed, or seen, but not both")
    }
}

/// Method, target, content: what nginx passes on unchanged.
private func asOriginSeesIt(_ item: Item) -> Item? {
    switch item {
    case .head(let line, _, _): .head(line: originForm(String(line.dropLast(4))), fields: [], framing: .none)
    case .end: .end(trailers: [])
    default: item
    }
}

/// A proxy takes scheme and host off (RFC 9112 §3.2.1).
private func originForm(_ line: String) -> String {
    guard let match = line.firstMatch(of: /^(\S+) [A-Za-z0-9+.-]+:\/\/[^\/?]+(.*)$/) else { return line }
    return match.1 + " " + (match.2.hasPrefix("/") ? "" : "/") + match.2
}

/// nginx in a directory of its own, in front of an origin that answers every request and keeps it.
private final class Nginx: Sendable {
    static let isInstalled = Nginx.program != nil
    private static let program = ["/usr/sbin/nginx", "/usr/bin/nginx", "/usr/local/sbin/nginx"]
        .first { FileManager.default.isExecutableFile(atPath: $0) }

    private let directory: URL
    private let process: ChildProcess
    private let listener: TestListener
    private let origin = RecordingOrigin()
    private var socketPath: String { self.directory.appending(path: "client.sock").path }

    init() throws {
        self.directory = FileManager.default.temporaryDirectory.appending(
            path: "latchstring-nginx-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: self.directory, withIntermediateDirectories: true)
        self.listener = try TestListener()
        let path = self.directory.path
        let configuration = """
            daemon off; master_process off; pid \(path)/pid; error_log \(path)/error.log;
            events { worker_connections 64; }
            http {
              access_log off; lingering_close off; proxy_ignore_client_abort on; keepalive_requests 1000;
              client_body_temp_path \(path)/body; proxy_temp_path \(path)/proxy; fastcgi_temp_path \(path)/fastcgi;
              uwsgi_temp_path \(path)/uwsgi; scgi_temp_path \(path)/scgi;
              server {
                listen unix:\(path)/client.sock;
                location / { proxy_pass http://127.0.0.1:\(self.listener.port); proxy_http_version 1.1; }
              }
            }
            """
        let file = self.directory.appending(path: "nginx.conf")
        try Data(configuration.utf8).write(to: file)
        let origin = self.origin
        let listener = self.listener
        Thread.detachNewThread { origin.serve(listener) }
        self.process = try ChildProcess(
            Self.program ?? "", ["-p", path, "-c", file.path, "-e", "\(path)/error.log"])
        _ = try eventually("nginx to listen") { UnixSocket.answers(self.socketPath) ? true : nil }
    }

    func stop() {
        self.process.send(SIGKILL)
        _ = self.process.waitForEnd()
        self.listener.close()
        try? FileManager.default.removeItem(at: self.directory)
    }

    /// The requests that arrived at the origin, and whether nginx itself refused one after them.
    func read(_ input: [UInt8]) throws -> [Item] {
        self.origin.reset()
        let socket = try UnixSocket(path: self.socketPath)
        socket.sendAll(input)
        let answers = latin1(socket.receiveToEnd())
        var items = self.origin.items
        // The origin's own answers are all 200.
        if answers.split(separator: "HTTP/1.1 ").contains(where: { !$0.hasPrefix("200") }) {
            items.append(.refused(.badMethod, 400))
        }
        return items
    }
}

/// Answers each request with 200 and closes.
private final class RecordingOrigin: Sendable {
    private let received = Mutex<[Item]>([])

    var items: [Item] { self.received.withLock { $0 } }

    func reset() { self.received.withLock { $0 = [] } }

    /// A whole request as nginx writes it. It passes on bytes that our reader refuses, so this looks for line ends only.
    private static func request(_ received: [UInt8]) -> [Item]? {
        let lines = latin1(received).unicodeScalars.split(separator: "\r\n\r\n".unicodeScalars, maxSplits: 1)
        guard received.suffix(4) == bytes("\r\n\r\n")[...] || lines.count > 1 else { return nil }
        let head = (lines.first.map { String($0) } ?? "").components(separatedBy: "\r\n")
        let content = lines.count > 1 ? String(lines[1]) : ""
        let length = head.first { $0.hasPrefix("Content-Length: ") }.flatMap { Int($0.dropFirst(16)) } ?? 0
        guard content.unicodeScalars.count >= length else { return nil }
        let line = head.first.map { String($0.dropLast(9)) } ?? ""
        let body: [Item] = content.isEmpty ? [] : [.body(content)]
        return [.head(line: line, fields: [], framing: .none)] + body + [.end(trailers: [])]
    }

    func serve(_ listener: TestListener) {
        while let socket = try? listener.accept() {
            var received: [UInt8] = []
            while Self.request(received) == nil, let part = try? socket.receive(), !part.isEmpty { received += part }
            if let items = Self.request(received) { self.received.withLock { $0 += items } }
            try? socket.send(Array("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".utf8))
        }
    }
}

/// A client that sends everything, says that nothing more comes, and reads to the end. nginx has no port then that another
/// process could have taken.
private struct UnixSocket: ~Copyable {
    private let descriptor: Int32

    init(path: String) throws {
        self.descriptor = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_un()
        address.sun_family = sa_family_t(AF_UNIX)
        let bytes = Array(path.utf8)
        guard bytes.count < MemoryLayout.size(ofValue: address.sun_path) else { throw Unexpected() }
        withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: bytes) }
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(self.descriptor, $0, socklen_t(MemoryLayout<sockaddr_un>.size))
            }
        }
        var limit = timeval(tv_sec: TestSocket.patience, tv_usec: 0)
        setsockopt(self.descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        guard result == 0 else { throw Unexpected() }
    }

    deinit { close(self.descriptor) }

    static func answers(_ path: String) -> Bool {
        do {
            _ = try UnixSocket(path: path)
            return true
        } catch {
            return false
        }
    }

    func sendAll(_ bytes: [UInt8]) {
        // What nginx does not read any more has no effect on its verdict.
        _ = bytes.withUnsafeBytes {
            send(self.descriptor, $0.baseAddress, $0.count, Int32(MSG_NOSIGNAL))
        }
        shutdown(self.descriptor, Int32(SHUT_WR))
    }

    func receiveToEnd() -> [UInt8] {
        var all: [UInt8] = []
        var part = [UInt8](repeating: 0, count: 65_536)
        while true {
            let count = recv(self.descriptor, &part, part.count, 0)
            if count <= 0 { return all }
            all += part[..<count]
        }
    }
}
