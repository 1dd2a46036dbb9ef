import FuzzDriver
import HTTPFields
import HTTPWire
import NIOCore

@main
enum FuzzHTTPWire {
    static func main() {
        runFuzzer { fuzz(UnsafeBufferPointer(start: $0, count: $1)) }
    }
}

/// The first byte chooses requests or responses, the limits, and how the rest is cut; the rest is what a connection received.
///
/// Whatever the bytes: no crash; the same verdict for every cut, and with a buffer that holds exactly these bytes or more; ranges
/// within the bytes, names that are tokens, values without controls; what is accepted is written in a form that reads the same.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    guard let choice: UInt8 = input.first else { return 0 }
    let bytes: [UInt8] = Array(input.dropFirst())
    let limits: WireLimits =
        choice & 2 == 0
        ? WireLimits()
        : WireLimits(
            startLineBytes: 60, headBytes: 200, fields: 5, trailerBytes: 40, trailers: 2, chunkExtensionBytes: 8,
            bodyExtensionBytes: 16, informationalResponses: 2)
    let segment: Int = 1 + Int(choice >> 2)
    let read: (Int) -> [Event] =
        choice & 1 == 0
        ? { requests(bytes, segment: $0, limits: limits) } : { responses(bytes, segment: $0, limits: limits) }
    let whole: [Event] = read(max(bytes.count, 1))
    precondition(read(segment) == whole, "the cut decides")
    precondition(read(1) == whole, "single bytes decide")
    if choice & 1 == 0 { rewriteRequests(bytes, limits: limits) }
    return 0
}

private enum Event: Equatable {
    case head(line: [[UInt8]], fields: [[UInt8]], framing: BodyFraming)
    case body([UInt8])
    case end([[UInt8]])
    case switched
    case refused(WireError)
}

extension [Event] {
    fileprivate mutating func add(_ part: ByteBuffer) {
        precondition(part.readableBytes > 0, "no empty part")
        if case .body(let before)? = last {
            self[count - 1] = .body(before + part.readableBytesView)
        } else {
            append(.body([UInt8](part.readableBytesView)))
        }
    }
}

private func segments(_ bytes: [UInt8], _ segment: Int, _ body: (ByteBuffer) throws(WireError) -> Void)
    throws(WireError)
{
    for start in stride(from: 0, to: bytes.count, by: segment) {
        try body(exactly(bytes[start..<min(start + segment, bytes.count)]))
    }
}

/// A buffer without room behind its bytes: its storage has a power of two bytes, and these are the last of it.
private func exactly(_ bytes: ArraySlice<UInt8>) -> ByteBuffer {
    var buffer = ByteBufferAllocator().buffer(capacity: bytes.count)
    let lead: Int = buffer.capacity - bytes.count
    buffer.writeRepeatingByte(UInt8(ascii: "A"), count: lead)
    buffer.writeBytes(bytes)
    buffer.moveReaderIndex(forwardBy: lead)
    return buffer
}

private func requests(_ bytes: [UInt8], segment: Int, limits: WireLimits) -> [Event] {
    var events: [Event] = []
    var reader = RequestReader(limits: limits)
    do throws(WireError) {
        try segments(bytes, segment) { part throws(WireError) in
            reader.receive(part)
            while let event = try reader.next() {
                switch event {
                case .head(let head):
                    checkLimits(head.fields, limits.fields, limits.headBytes)
                    events.append(
                        .head(
                            line: [content(head.fields, head.methodRange), content(head.fields, head.targetRange)],
                            fields: content(head.fields), framing: head.framing))
                    _ = head.expectsContinue
                    checkConnection(head.fields)
                case .body(let part): events.add(part)
                case .end(let trailers): events.append(.end(content(trailers)))
                }
            }
            precondition(reader.bufferedBytes <= limits.headBytes, "what waits is bounded")
        }
    } catch {
        events.append(.refused(error))
        precondition(reader.bufferedBytes == 0 && (400...505).contains(error.status))
    }
    return events
}

private func responses(_ bytes: [UInt8], segment: Int, limits: WireLimits) -> [Event] {
    var events: [Event] = []
    var reader = ResponseReader(limits: limits)
    reader.expect(bytes.count & 1 == 0 ? .get : .head)
    do throws(WireError) {
        try segments(bytes, segment) { part throws(WireError) in
            reader.receive(part)
            while let event = try reader.next() {
                switch event {
                case .informational(let head): events.append(response(head, .none))
                case .head(let head, let framing): events.append(response(head, framing))
                case .body(let part): events.add(part)
                case .end(let trailers): events.append(.end(content(trailers)))
                case .switched: events.append(.switched)
                }
            }
        }
    } catch {
        events.append(.refused(error))
        precondition(error.status == 502)
    }
    return events
}

private func response(_ head: ResponseHead, _ framing: BodyFraming) -> Event {
    precondition((100...999).contains(head.status))
    checkConnection(head.fields)
    return .head(
        line: [Array(String(head.status).utf8), content(head.fields, head.reasonRange)], fields: content(head.fields),
        framing: framing)
}

private func checkLimits(_ section: FieldSection, _ most: Int, _ bytes: Int) {
    precondition(section.count <= most && section.bytes.readableBytes + 2 <= bytes, "within the limits")
}

private func checkConnection(_ section: FieldSection) {
    let options = section.connectionOptions
    for field in section { _ = section.isNamed(field, by: options.others) }
}

private func content(_ section: FieldSection, _ range: Range<Int>) -> [UInt8] { section.withBytes(range) { Array($0) } }

private func content(_ section: FieldSection?) -> [[UInt8]] {
    guard let section else { return [] }
    return section.flatMap { field in
        let name: [UInt8] = content(section, field.name)
        let value: [UInt8] = content(section, field.value)
        precondition(!name.isEmpty && !name.contains { $0 <= 0x20 || $0 >= 0x7F || $0 == UInt8(ascii: ":") })
        precondition(!value.contains { $0 < 0x20 && $0 != 9 || $0 == 0x7F })
        precondition(KnownField(name) == field.known)
        if let known = field.known { precondition(section.contains(known)) }
        return [name, value]
    }
}

/// Written anew and read again: the same requests, with `HTTP/1.1` and the framing fields at the head's end.
private func rewriteRequests(_ bytes: [UInt8], limits: WireLimits) {
    var reader = RequestReader(limits: limits)
    reader.receive(ByteBuffer(bytes: bytes))
    var out = ByteBuffer()
    var framing = BodyFraming.none
    var whole = 0
    while let event = try? reader.next() {
        switch event {
        case .head(let head):
            // HTTP/1.0 may do without a Host.
            guard head.fields.contains(.host) else { return }
            framing = head.framing
            do throws(WriteFault) {
                var writer = try HeadWriter(head, to: &out)
                for field in head.fields { writer.add(field, of: head.fields, to: &out) }
                writer.finish(framing, to: &out)
            } catch {
                preconditionFailure("what was read can be written")
            }
        case .body(var part):
            if framing == .chunked { ChunkWriter.write(part, to: &out) } else { out.writeBuffer(&part) }
        case .end(let trailers):
            whole = out.writerIndex
            guard framing == .chunked else { continue }
            var writer = HeadWriter(lastChunkTo: &out)
            if let trailers { for field in trailers { writer.add(field, of: trailers, to: &out) } }
            writer.finish(.none, to: &out)
            whole = out.writerIndex
        }
    }
    let again: [Event] = requests(
        Array(out.readableBytesView.prefix(whole)), segment: max(whole, 1), limits: WireLimits())
    var expected: [Event] = requests(bytes, segment: max(bytes.count, 1), limits: limits)
    // An unfinished or refused request at the end is not compared.
    while let last = expected.last {
        if case .end = last { break }
        expected.removeLast()
    }
    precondition(again.map(withoutFraming) == expected.map(withoutFraming), "writing changes nothing")
}

private func withoutFraming(_ event: Event) -> Event {
    switch event {
    case .head(let line, let fields, let framing):
        .head(line: line, fields: withoutFraming(fields), framing: framing)
    // The writer leaves them out of trailers, too.
    case .end(let trailers): .end(withoutFraming(trailers))
    default: event
    }
}

/// Names and values in turn, without the framing fields.
private func withoutFraming(_ fields: [[UInt8]]) -> [[UInt8]] {
    var kept: [[UInt8]] = []
    for index in stride(from: 0, to: fields.count, by: 2) {
        switch KnownField(fields[index]) {
        case .contentLength, .transferEncoding: break
        default: kept += [fields[index], fields[index + 1]]
        }
    }
    return kept
}
