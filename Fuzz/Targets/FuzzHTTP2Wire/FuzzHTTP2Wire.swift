import CLibFuzzer
import HTTP2Wire
import HTTPFields
import NIOCore

#if canImport(Glibc)
    import Glibc
#else
    import Darwin
#endif

@main
enum FuzzHTTP2Wire {
    static func main() {
        var count: CInt = CommandLine.argc
        var arguments = CommandLine.unsafeArgv.withMemoryRebound(
            to: UnsafeMutablePointer<CChar>?.self, capacity: Int(count)
        ) { Optional($0) }
        exit(LLVMFuzzerRunDriver(&count, &arguments) { fuzz(UnsafeBufferPointer(start: $0, count: $1)) })
    }
}

/// The first byte chooses the limits and how the rest is cut; the rest is what stands behind a client's preface.
///
/// Whatever the bytes: no crash; the same for every cut; what is passed on are whole frames or parts of them, in their order; names of a
/// section are tokens in lower case, values have no controls; and what a section holds is written in a block that reads the same.
private func fuzz(_ input: UnsafeBufferPointer<UInt8>) -> CInt {
    guard let choice: UInt8 = input.first else { return 0 }
    let bytes: [UInt8] = Array("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".utf8) + input.dropFirst()
    let limits =
        choice & 1 == 0
        ? FieldBlockLimits(sectionBytes: 65_536, fields: 128) : FieldBlockLimits(sectionBytes: 150, fields: 4)
    let whole: Heard = hear(bytes, parts: bytes.count, limits)
    precondition(hear(bytes, parts: 1 + Int(choice >> 1), limits) == whole, "the cut decides")
    precondition(hear(bytes, parts: 1, limits) == whole, "single bytes decide")
    return 0
}

private struct Heard: Equatable {
    var bytes: [UInt8] = []
    var sections: [[[UInt8]]] = []
    var frames = 0
    var fault: ClientFrameFault?
    var settings: ClientFrameSettings?
}

private func hear(_ bytes: [UInt8], parts: Int, _ limits: FieldBlockLimits) -> Heard {
    var frames = ClientFrames(limits: limits, maximumContinuations: 8)
    var heard = Heard()
    var begun = 0
    for start in stride(from: 0, to: bytes.count, by: parts) where heard.fault == nil {
        frames.receive(ByteBuffer(bytes: bytes[start..<min(start + parts, bytes.count)]))
        do throws(ClientFrameFault) {
            while let event = try frames.next(began: { _ in begun += 1 }) {
                switch event {
                case .bytes(let bytes):
                    precondition(bytes.readableBytes > 0)
                    heard.bytes += Array(buffer: bytes)
                case .section(let block, let frame):
                    heard.bytes += Array(buffer: frame)
                    heard.sections.append(list(block))
                    if block.malformation == nil { rewrite(block) }
                }
            }
        } catch {
            heard.fault = error
        }
        if choiceOfMemory(start) { frames.releaseMemory() }
    }
    heard.frames = begun
    heard.settings = frames.settings
    return heard
}

/// Between reads memory may be given back, or not.
private func choiceOfMemory(_ position: Int) -> Bool { position & 3 == 1 }

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
