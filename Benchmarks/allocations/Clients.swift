import Foundation
import NIOCore
import RecordLayer

struct ClientFailure: Error {
    let text: String
}

/// A blocking socket, with TLS records or without.
final class Connection {
    private let socket: CInt
    private var input: [UInt8] = []
    private var records: RecordSession?

    init(port: Int, records: consuming RecordSession? = nil) throws {
        self.records = records
        self.socket = Glibc.socket(AF_INET, CInt(SOCK_STREAM.rawValue), 0)
        var address = sockaddr_in()
        address.sin_family = sa_family_t(AF_INET)
        address.sin_port = in_port_t(UInt16(port)).bigEndian
        address.sin_addr.s_addr = in_addr_t(0x7F00_0001).bigEndian
        let result = withUnsafePointer(to: &address) {
            $0.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                connect(self.socket, $0, socklen_t(MemoryLayout<sockaddr_in>.size))
            }
        }
        if result != 0 { throw ClientFailure(text: "no connection: \(errno)") }
    }

    deinit { Glibc.close(self.socket) }

    func write(_ bytes: [UInt8]) throws {
        let bytes = try self.records?.send(ByteBuffer(bytes: bytes)).readableBytesView.map { $0 } ?? bytes
        guard Glibc.write(self.socket, bytes, bytes.count) == bytes.count else {
            throw ClientFailure(text: "not written: \(errno)")
        }
    }

    /// Exactly so many bytes.
    func read(_ count: Int) throws -> [UInt8] {
        while self.input.count < count { try self.readMore() }
        defer { self.input.removeFirst(count) }
        return Array(self.input[..<count])
    }

    /// Up to an empty line, with it.
    func readHead() throws -> [UInt8] {
        let end = Array("\r\n\r\n".utf8)
        while true {
            if let found = self.input.indices.first(where: { self.input[$0...].starts(with: end) }) {
                return try self.read(found + end.count)
            }
            try self.readMore()
        }
    }

    private func readMore() throws {
        var buffer = [UInt8](repeating: 0, count: 65_536)
        let count = Glibc.read(self.socket, &buffer, buffer.count)
        guard count > 0 else { throw ClientFailure(text: "no answer: \(errno)") }
        if let reception = self.records?.receive(ByteBuffer(bytes: buffer[..<count])) {
            self.input += (reception.applicationData ?? ByteBuffer()).readableBytesView
        } else {
            self.input += buffer[..<count]
        }
    }
}

/// What a browser sends, in its order.
private let browserFields = [
    (name: "User-Agent", value: "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0"),
    (name: "Accept", value: "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"),
    (name: "Accept-Language", value: "en-US,en;q=0.5"), (name: "Accept-Encoding", value: "gzip, deflate, br"),
]

/// Does nothing but ask for pages, and read what comes.
struct HTTP1Client {
    private let connection: Connection
    private let host: String
    private let request: [UInt8]

    init(port: Int, host: String, records: consuming RecordSession? = nil) throws {
        self.connection = try Connection(port: port, records: records)
        self.host = host
        self.request = Self.request(host, "/index.html")
    }

    private static func request(_ host: String, _ target: String) -> [UInt8] {
        let fields = browserFields.map { "\($0.name): \($0.value)\r\n" }.joined()
        return Array("GET \(target) HTTP/1.1\r\nHost: \(host)\r\n\(fields)\r\n".utf8)
    }

    /// One request, and its answer to the end.
    func exchange() throws { try self.exchange(self.request) }

    /// The same page by another address.
    func exchange(query: Int) throws { try self.exchange(Self.request(self.host, "/index.html?n=\(query)")) }

    private func exchange(_ request: [UInt8]) throws {
        try self.connection.write(request)
        let head = String(decoding: try self.connection.readHead(), as: UTF8.self)
        guard head.hasPrefix("HTTP/1.1 200 ") else { throw ClientFailure(text: head) }
        _ = try self.connection.read(1024)
    }
}

/// The same over HTTP/2: each request on the next stream, its fields as literals that no table keeps (RFC 7541 §6.2.2).
final class HTTP2Client {
    private let connection: Connection
    private let block: [UInt8]
    private var stream: UInt32 = 1

    init(port: Int, host: String) throws {
        self.connection = try Connection(port: port)
        func text(_ text: String) -> [UInt8] { [UInt8(text.utf8.count)] + Array(text.utf8) }
        // GET, https; then names by their places in the static table: 4 :path, 1 :authority, 58, 19, 17, 16.
        var block: [UInt8] = [0x82, 0x87, 0x04] + text("/index.html") + [0x01] + text(host)
        for (place, field) in zip([58, 19, 17, 16] as [UInt8], browserFields) {
            block += [0x0F, place - 15] + text(field.value)
        }
        self.block = block
        // The preface, SETTINGS, their acknowledgement, and a window for all answers.
        try self.connection.write(Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8))
        try self.connection.write(Self.frame(4, 0, 0, []) + Self.frame(4, 1, 0, []))
        try self.connection.write(Self.frame(8, 0, 0, [0x3F, 0xFF, 0, 0]))
    }

    func exchange() throws {
        let (endStream, endHeaders): (UInt8, UInt8) = (1, 4)
        try self.connection.write(Self.frame(1, endStream | endHeaders, self.stream, self.block))
        while true {
            let header = try self.connection.read(9)
            let length = Int(header[0]) << 16 | Int(header[1]) << 8 | Int(header[2])
            let payload = try self.connection.read(length)
            // 8 is the place of `:status: 200`.
            if header[3] == 1, payload.first != 0x88 { throw ClientFailure(text: "\(payload)") }
            if header[3] == 3 || header[3] == 7 { throw ClientFailure(text: "\(header) \(payload)") }
            if header[3] == 0, header[4] & endStream != 0 { break }
        }
        self.stream += 2
    }

    private static func frame(_ type: UInt8, _ flags: UInt8, _ stream: UInt32, _ payload: [UInt8]) -> [UInt8] {
        let length = UInt32(payload.count)
        return [UInt8(length >> 16), UInt8(length >> 8 & 0xFF), UInt8(length & 0xFF), type, flags]
            + [24, 16, 8, 0].map { UInt8(truncatingIfNeeded: stream >> $0) } + payload
    }
}
