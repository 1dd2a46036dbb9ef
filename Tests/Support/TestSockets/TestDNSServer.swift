import Foundation
import Synchronization

#if canImport(Glibc)
    import Glibc
#elseif canImport(Musl)
    import Musl
#endif

/// A DNS server on a loopback port, over UDP and TCP, that answers what a test says. Ends with the object.
public final class TestDNSServer: Sendable {
    public enum Answer: Sendable {
        case caa([(flags: UInt8, tag: String, value: String)])
        /// An alias, with the target's CAA records behind it.
        case alias(String, [(flags: UInt8, tag: String, value: String)])
        case noData
        case noName
        case failure
        case refused
        /// Nothing is sent.
        case silence
        /// Bytes behind a correct header with this many answers.
        case raw(answers: UInt16, [UInt8])
        /// Over UDP only a truncated answer; over TCP this one.
        indirect case overTCP(Answer)
    }

    public let port: UInt16
    private let datagrams: Int32
    private let listener: Int32
    private let isOver = Mutex(false)
    private let log = Mutex<[String]>([])
    private let answer: @Sendable (String) -> Answer

    /// - Parameter answer: what is at a name, in lower case without a dot at its end.
    public init(answer: @escaping @Sendable (String) -> Answer) throws {
        self.answer = answer
        var pair: (Int32, Int32, UInt16)?
        // The TCP port of the same number may be taken by chance.
        for _ in 0..<20 where pair == nil { pair = try Self.bindBoth() }
        guard let pair else { throw TestSocketError.last("bind") }
        (self.datagrams, self.listener, self.port) = pair
        Thread.detachNewThread { [self] in self.serveDatagrams() }
        Thread.detachNewThread { [self] in self.serveStreams() }
    }

    /// Ends its threads.
    public func stop() {
        self.isOver.withLock { $0 = true }
    }

    /// The names that were asked for, in order; those over TCP as `tcp:NAME`.
    public var questions: [String] { self.log.withLock { $0 } }

    private static func bindBoth() throws -> (Int32, Int32, UInt16)? {
        let datagrams = socket(AF_INET, Int32(SOCK_DGRAM.rawValue), 0)
        let listener = try makeSocket()
        try withLoopback(port: 0) { address, length in
            if bind(datagrams, address, length) != 0 { throw TestSocketError.last("bind") }
        }
        let port = try boundPort(datagrams)
        var isBound = false
        try withLoopback(port: port) { address, length in isBound = bind(listener, address, length) == 0 }
        guard isBound, listen(listener, 16) == 0 else {
            close(datagrams)
            close(listener)
            return nil
        }
        var limit = timeval(tv_sec: 0, tv_usec: 100_000)
        for descriptor in [datagrams, listener] {
            setsockopt(descriptor, SOL_SOCKET, SO_RCVTIMEO, &limit, socklen_t(MemoryLayout<timeval>.size))
        }
        return (datagrams, listener, port)
    }

    private func serveDatagrams() {
        defer { close(self.datagrams) }
        var buffer = [UInt8](repeating: 0, count: 4096)
        while !self.isOver.withLock({ $0 }) {
            var peer = sockaddr_in()
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let count = withUnsafeMutablePointer(to: &peer) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    recvfrom(self.datagrams, &buffer, buffer.count, 0, $0, &length)
                }
            }
            guard count > 0, let response = self.response(to: Array(buffer[..<count]), overTCP: false) else { continue }
            _ = withUnsafePointer(to: &peer) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) {
                    sendto(self.datagrams, response, response.count, 0, $0, length)
                }
            }
        }
    }

    private func serveStreams() {
        defer { close(self.listener) }
        while !self.isOver.withLock({ $0 }) {
            let descriptor = acceptSystem(self.listener)
            guard descriptor >= 0 else { continue }
            defer { close(descriptor) }
            var query: [UInt8] = []
            var buffer = [UInt8](repeating: 0, count: 4096)
            while query.count < 2 || query.count < 2 + (Int(query[0]) << 8 | Int(query[1])) {
                let count = recv(descriptor, &buffer, buffer.count, 0)
                guard count > 0 else { break }
                query += buffer[..<count]
            }
            guard query.count > 2, let response = self.response(to: Array(query[2...]), overTCP: true) else { continue }
            let framed = [UInt8(response.count >> 8), UInt8(response.count & 0xFF)] + response
            _ = sendSystem(descriptor, framed, framed.count, noSignal)
        }
    }

    private func response(to query: [UInt8], overTCP: Bool) -> [UInt8]? {
        guard query.count > 16 else { return nil }
        var labels: [String] = []
        var position = 12
        while position < query.count, query[position] != 0 {
            let end = position + 1 + Int(query[position])
            guard end < query.count else { return nil }
            labels.append(String(decoding: query[(position + 1)..<end], as: UTF8.self))
            position = end
        }
        let question = Array(query[12..<min(position + 5, query.count)])
        let name = labels.joined(separator: ".").lowercased()
        self.log.withLock { $0.append(overTCP ? "tcp:\(name)" : name) }
        var answer = self.answer(name)
        if case .overTCP(let whole) = answer {
            guard overTCP else { return Self.message(query, flags: 0x8780, question, answers: 0, []) }
            answer = whole
        }
        /// The question's name, which stands at byte 12.
        let pointer: [UInt8] = [0xC0, 12]
        switch answer {
        case .caa(let records):
            return Self.message(
                query, question, answers: records.count,
                records.flatMap { Self.record(pointer, 257, Self.data($0)) })
        case .alias(let target, let records):
            let name = Self.wire(target)
            return Self.message(
                query, question, answers: records.count + 1,
                Self.record(pointer, 5, name) + records.flatMap { Self.record(name, 257, Self.data($0)) })
        case .noData: return Self.message(query, question, answers: 0, [])
        case .noName: return Self.message(query, flags: 0x8583, question, answers: 0, [])
        case .failure: return Self.message(query, flags: 0x8182, question, answers: 0, [])
        case .refused: return Self.message(query, flags: 0x8185, question, answers: 0, [])
        case .raw(let answers, let bytes): return Self.message(query, question, answers: Int(answers), bytes)
        case .silence, .overTCP: return nil
        }
    }

    private static func message(
        _ query: [UInt8], flags: UInt16 = 0x8580, _ question: [UInt8], answers: Int, _ rest: [UInt8]
    ) -> [UInt8] {
        [query[0], query[1], UInt8(flags >> 8), UInt8(flags & 0xFF), 0, 1] + Self.two(answers) + [0, 0, 0, 0] + question
            + rest
    }

    private static func record(_ owner: [UInt8], _ type: Int, _ data: [UInt8]) -> [UInt8] {
        owner + Self.two(type) + [0, 1, 0, 0, 0, 60] + Self.two(data.count) + data
    }

    private static func data(_ record: (flags: UInt8, tag: String, value: String)) -> [UInt8] {
        [record.flags, UInt8(record.tag.utf8.count)] + Array(record.tag.utf8) + Array(record.value.utf8)
    }

    private static func wire(_ name: String) -> [UInt8] {
        name.split(separator: ".").flatMap { [UInt8($0.utf8.count)] + Array($0.utf8) } + [0]
    }

    private static func two(_ number: Int) -> [UInt8] {
        [UInt8(number >> 8 & 0xFF), UInt8(number & 0xFF)]
    }
}
