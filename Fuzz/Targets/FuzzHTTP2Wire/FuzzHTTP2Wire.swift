import FuzzDriver
import HTTP2Wire
import HTTPFields
import NIOCore

@main
enum FuzzHTTP2Wire {
    static func main() {
        runFuzzer { fuzz(UnsafeBufferPointer(start: $0, count: $1)) }
    }
}

/// The first byte chooses the limits, what the server does, and how the rest is cut; the rest is what stands behind
/// a client's preface and SETTINGS.
///
/// Whatever the bytes: no crash; the same for every cut; names of a section are tokens in lower case, values have no controls; what a section holds is
/// written in a block that reads the same; and what the server writes are whole frames, with no more content than its client has allowed, none of
/// it behind the end of a stream.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    guard let choice: UInt8 = input.first else { return 0 }
    let preface: [UInt8] = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8)
    let settings: [UInt8] = [0, 0, 0, 4, 0, 0, 0, 0, 0]
    let bytes: [UInt8] = preface + settings + input.dropFirst()
    let limits: ServerConnection.Limits = bounds(isSmall: choice & 1 == 1)
    // A server that does nothing: what it is told depends on the bytes alone.
    let whole: Heard = hear(bytes, parts: bytes.count, limits, acts: false)
    precondition(hear(bytes, parts: 1 + Int(choice >> 1), limits, acts: false) == whole, "the cut decides")
    precondition(hear(bytes, parts: 1, limits, acts: false) == whole, "single bytes decide")
    _ = hear(bytes, parts: 1 + Int(choice >> 1), limits, acts: true)
    _ = hear(bytes, parts: bytes.count, limits, acts: true)
    return 0
}

private func bounds(isSmall: Bool) -> ServerConnection.Limits {
    ServerConnection.Limits(
        fields: isSmall
            ? FieldBlockLimits(sectionBytes: 150, fields: 4) : FieldBlockLimits(sectionBytes: 65_536, fields: 128),
        concurrentStreams: isSmall ? 2 : 100, streamWindow: isSmall ? 20 : 262_144,
        connectionWindow: isSmall ? 70_000 : 1_048_576, continuations: 8, emptyDataFrames: 4,
        streamFaults: isSmall ? 3 : 200)
}

private struct Heard: Equatable {
    var events: [String] = []
    /// By stream.
    var content: [UInt32: [UInt8]] = [:]
    var sections: [[[UInt8]]] = []
    var frames = 0
    var fault: ConnectionFault?
    var written: [UInt8] = []
}

private func hear(_ bytes: [UInt8], parts: Int, _ limits: ServerConnection.Limits, acts: Bool) -> Heard {
    var server = ServerConnection(limits: limits)
    server.begin()
    var heard = Heard()
    var begun = 0
    var written: [UInt8] = []
    for start in stride(from: 0, to: bytes.count, by: parts) where heard.fault == nil {
        server.receive(ByteBuffer(bytes: bytes[start..<min(start + parts, bytes.count)]))
        do throws(ConnectionFault) {
            while let event = try server.next(began: { _ in begun += 1 }) {
                note(event, &heard)
                if acts { act(on: event, &server) }
            }
        } catch {
            heard.fault = error
        }
        if acts { while server.sendNext() != nil {} }
        while let buffer = server.nextOutput(all: start & 1 == 0) { written += Array(buffer: buffer) }
        if start & 3 == 1 { server.releaseMemory() }
        precondition(server.streamCount <= max(limits.concurrentStreams, begun))
    }
    while let buffer = server.nextOutput(all: true) { written += Array(buffer: buffer) }
    heard.frames = begun
    heard.written = written
    check(written, allowed: allowance(bytes))
    return heard
}

private func note(_ event: ServerConnection.Event, _ heard: inout Heard) {
    switch event {
    case .request(let block, let id, let ends):
        note(block, &heard)
        heard.events.append("request \(id.rawValue) \(ends)")
    case .trailers(let block, let id):
        note(block, &heard)
        heard.events.append("trailers \(id.rawValue)")
    case .data(let bytes, let id, let ends):
        heard.content[id.rawValue, default: []] += Array(buffer: bytes)
        if ends { heard.events.append("end \(id.rawValue)") }
    case .reset(let id, let code): heard.events.append("reset \(id.rawValue) \(code.rawValue)")
    case .fault(let fault, let id): heard.events.append("fault \(id.rawValue) \(fault)")
    case .settingsAcknowledged: heard.events.append("acknowledged")
    case .pong(let data): heard.events.append("pong \(data)")
    case .windowOpened: break
    }
}

private func note(_ block: FieldBlock, _ heard: inout Heard) {
    heard.sections.append(list(block))
    if block.malformation == nil { rewrite(block) }
}

/// A server that answers, each stream in another way.
private func act(on event: ServerConnection.Event, _ server: inout ServerConnection) {
    switch event {
    case .request(_, let id, _):
        let choice = id.rawValue / 2 % 6
        if choice == 0 { return server.reset(id, .refusedStream) }
        server.writeHeaders(on: id, endsStream: choice == 1) {
            $0.writeRepeatingByte(0x88, count: 1 + Int(choice) * 4_000)
        }
        if choice == 2 { _ = server.writeWholeData(100, on: id) { $0.writeRepeatingByte(1, count: 100) } }
        if choice >= 3 {
            _ = server.writeData(ByteBuffer(repeating: 1, count: 20_000), on: id, endsStream: choice == 3)
        }
        if choice == 4 { _ = server.writeTrailers(ByteBuffer(bytes: [0x88]), on: id) }
    case .data(let bytes, let id, _):
        server.taken(bytes.readableBytes, on: id)
        _ = server.openWindow(of: id)
        if id.rawValue / 2 % 6 == 5 { _ = server.writeData(bytes, on: id, endsStream: bytes.readableBytes & 1 == 1) }
    case .trailers(_, let id): _ = server.writeData(ByteBuffer(), on: id, endsStream: true)
    case .pong(let data):
        server.ping(data)
        server.goAway(.highest, .noError)
    case .settingsAcknowledged, .reset, .fault, .windowOpened: break
    }
}

/// The most content that a client could have allowed: the first window, and everything that might be an increment of the connection's.
private func allowance(_ bytes: [UInt8]) -> Int {
    var sum = 65_535
    var index = 24
    while index + 9 <= bytes.count {
        let length = Int(bytes[index]) << 16 | Int(bytes[index + 1]) << 8 | Int(bytes[index + 2])
        if bytes[index + 3] == 8, length == 4, index + 13 <= bytes.count,
            bytes[(index + 5)..<(index + 9)].allSatisfy({ $0 & 0x7F == 0 })
        {
            sum += bytes[(index + 9)..<(index + 13)].reduce(0) { $0 << 8 | Int($1) } & 0x7FFF_FFFF
        }
        index += 9 + length
    }
    return sum
}

private func check(_ written: [UInt8], allowed: Int) {
    var index = 0
    var content = 0
    var ended: Set<Int> = []
    var inBlock = false
    while index < written.count {
        precondition(index + 9 <= written.count, "whole headers")
        let header = written[index..<(index + 9)]
        let length = header.prefix(3).reduce(0) { $0 << 8 | Int($1) }
        let (type, flags) = (written[index + 3], written[index + 4])
        let stream = header.suffix(4).reduce(0) { $0 << 8 | Int($1) }
        precondition(index + 9 + length <= written.count, "whole frames")
        precondition(length <= 16_777_215 && (type == 1 || type == 9 || length <= 16_384))
        precondition(inBlock == (type == 9), "blocks stand together")
        if type == 1 || type == 9 { inBlock = flags & 4 == 0 }
        if type == 0 { content += length }
        if type == 0 || type == 1 {
            precondition(stream & 1 == 1 && !ended.contains(stream), "nothing behind an end")
            if flags & 1 == 1 { ended.insert(stream) }
        }
        if type == 3 { ended.insert(stream) }
        index += 9 + length
    }
    precondition(content <= allowed, "no more than the client's window")
}

private func list(_ block: FieldBlock) -> [[UInt8]] {
    var list: [[UInt8]] = [block.method, block.scheme, block.path, block.authority].map { range in
        range.map { block.fields.copy($0) } ?? []
    }
    for field in block.fields {
        let (name, value) = (block.fields.copy(field.name), block.fields.copy(field.value))
        precondition(!name.isEmpty && name.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ":") })
        precondition(value.allSatisfy { $0 >= 0x20 && $0 != 0x7F || $0 == 0x09 })
        list += [name, value]
    }
    return list
}

private func rewrite(_ block: FieldBlock) {
    var written = ByteBuffer()
    FieldBlockWriter.write(block.fields, to: &written)
    var decoder = FieldBlockDecoder(limits: FieldBlockLimits(sectionBytes: 1 << 20, fields: 1000))
    guard let again = try? decoder.decode(written) else { preconditionFailure("what was written is a block") }
    precondition(!again.isTooLarge && again.malformation == nil)
    let lowered: ([UInt8]) -> [UInt8] = { $0.map { $0 &- UInt8(ascii: "A") < 26 ? $0 | 0x20 : $0 } }
    let fields = list(block).dropFirst(4).enumerated().map {
        $0.offset.isMultiple(of: 2) ? lowered($0.element) : $0.element
    }
    let same = list(again).dropFirst(4).enumerated().map {
        $0.offset.isMultiple(of: 2) ? lowered($0.element) : $0.element
    }
    precondition(fields == same, "a section is written as it was read")
}
