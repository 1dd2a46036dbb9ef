public import NIOCore

/// Reads replies from bytes as they come, in any cut. Bounded in depth, lengths, counts and in all: what is too much of a reply
/// is ``RESPValue/dropped``.
///
/// Every byte is looked at once: what is complete of a reply is kept as values, not read again. A failure is final.
public struct RESPDecoder: Sendable {
    private struct Frame {
        enum Kind { case array, map, push, attribute }
        var kind: Kind
        var remaining: Int
        /// It is read past, with all that is in it.
        var isDropped: Bool
        var items: [RESPValue] = []
    }

    private enum Step {
        case value(RESPValue)
        /// An aggregate was opened, or something was dropped.
        case opened
        case wait
    }

    /// A text whose length is known and whose bytes are not there yet.
    private struct OpenText {
        /// Bytes to come, its end not counted.
        var length: Int
        var isVerbatim: Bool
        var isError: Bool
        var isDropped: Bool
    }

    private let limits: RESPLimits
    private var buffer = ByteBuffer()
    private var frames: [Frame] = []
    private var open: OpenText?
    /// Bytes behind the reader index that hold no line feed.
    private var scanned = 0
    private var values = 0
    private var bytes = 0
    private var failure: RESPError?

    public init(limits: RESPLimits = RESPLimits()) {
        self.limits = limits
    }

    /// Bytes that wait for the rest of their value.
    public var bufferedBytes: Int { self.buffer.readableBytes }

    public mutating func receive(_ bytes: ByteBuffer) {
        var bytes = bytes
        if self.buffer.readableBytes == 0 {
            self.buffer = bytes
        } else {
            self.buffer.discardReadBytes()
            self.buffer.writeBuffer(&bytes)
        }
    }

    /// The next reply that is complete; nil if more bytes are needed.
    public mutating func next() throws(RESPError) -> RESPValue? {
        if let failure { throw failure }
        do throws(RESPError) {
            while true {
                switch try self.step() {
                case .wait: return nil
                case .opened: continue
                case .value(let value):
                    if let reply = self.close(value) { return reply }
                }
            }
        } catch {
            self.failure = error
            self.buffer = ByteBuffer()
            self.frames = []
            throw error
        }
    }

    /// Puts a value where it belongs; the whole reply if that was the last.
    private mutating func close(_ value: RESPValue) -> RESPValue? {
        var value = value
        while var frame = self.frames.popLast() {
            if !frame.isDropped { frame.items.append(value) }
            frame.remaining -= 1
            if frame.remaining > 0 {
                self.frames.append(frame)
                return nil
            }
            switch frame.kind {
            case .array where frame.isDropped, .map where frame.isDropped: value = .dropped
            case .array: value = .array(frame.items)
            case .push: value = .push(frame.items)
            case .map: value = .map(Self.pairs(frame.items))
            // Stands before the value that it is about.
            case .attribute: return nil
            }
        }
        self.values = 0
        self.bytes = 0
        return value
    }

    private static func pairs(_ items: [RESPValue]) -> [RESPValue.Pair] {
        stride(from: 0, to: items.count, by: 2).map { RESPValue.Pair(items[$0], items[$0 + 1]) }
    }

    private mutating func step() throws(RESPError) -> Step {
        if let open { return try self.finish(open) }
        guard let line = try self.line() else { return .wait }
        guard let type = line.first else { throw .syntax("an empty line") }
        let isFull = self.isDropping || self.values >= self.limits.values
        if !isFull { self.values += 1 }
        let rest = line.dropFirst()
        switch type {
        case UInt8(ascii: "+"), UInt8(ascii: "("):
            return .value(!isFull && self.keeps(rest.count) ? .text(Array(rest)) : .dropped)
        case UInt8(ascii: "-"): return .value(.error(Self.plain(rest)))
        case UInt8(ascii: ":"): return .value(.integer(try Self.integer(rest)))
        case UInt8(ascii: "_"):
            guard rest.isEmpty else { throw .syntax("a null with a value") }
            return .value(.null)
        case UInt8(ascii: "#"):
            guard rest.count == 1, let word = rest.first, word == UInt8(ascii: "t") || word == UInt8(ascii: "f") else {
                throw .syntax("a boolean that is none")
            }
            return .value(.boolean(word == UInt8(ascii: "t")))
        case UInt8(ascii: ","):
            guard let number = Double(String(decoding: rest, as: UTF8.self)) else { throw .syntax("no number") }
            return .value(.double(number))
        case UInt8(ascii: "$"), UInt8(ascii: "="), UInt8(ascii: "!"): return try self.text(type, rest, isFull)
        case UInt8(ascii: "*"), UInt8(ascii: "~"), UInt8(ascii: ">"), UInt8(ascii: "%"), UInt8(ascii: "|"):
            return try self.aggregate(type, rest, isFull)
        default: throw .syntax("a reply of no known type")
        }
    }

    /// Whether all values are read past, since what they are part of is.
    private var isDropping: Bool { self.frames.last?.isDropped ?? false }

    /// Whether so many bytes more are kept; if so, they count.
    private mutating func keeps(_ bytes: Int) -> Bool {
        guard self.bytes + bytes <= self.limits.bytes else { return false }
        self.bytes += bytes
        return true
    }

    private mutating func text(_ type: UInt8, _ rest: ArraySlice<UInt8>, _ isFull: Bool) throws(RESPError) -> Step {
        let length = try Self.integer(rest)
        if length == -1, type == UInt8(ascii: "$") { return .value(.null) }
        guard length >= 0 else { throw .syntax("a negative length") }
        let keeps = !isFull && length <= self.limits.text && self.keeps(Int(length))
        let open = OpenText(
            length: Int(length), isVerbatim: type == UInt8(ascii: "="), isError: type == UInt8(ascii: "!"),
            isDropped: !keeps)
        self.open = open
        return try self.finish(open)
    }

    private mutating func finish(_ open: OpenText) throws(RESPError) -> Step {
        if open.isDropped { return try self.pass(open) }
        guard self.buffer.readableBytes >= open.length + 2 else { return .wait }
        guard let bytes = self.buffer.readBytes(length: open.length) else { return .wait }
        try self.endText()
        if open.isError { return .value(.error(Self.plain(bytes.prefix(self.limits.line)))) }
        guard open.isVerbatim else { return .value(.text(bytes)) }
        guard bytes.count >= 4, bytes[3] == UInt8(ascii: ":") else { throw .syntax("a verbatim text without a format") }
        return .value(.text(Array(bytes.dropFirst(4))))
    }

    /// Reads past a text, of which nothing is kept.
    private mutating func pass(_ open: OpenText) throws(RESPError) -> Step {
        let passed = min(open.length, self.buffer.readableBytes)
        self.buffer.moveReaderIndex(forwardBy: passed)
        self.open?.length -= passed
        guard open.length == passed, self.buffer.readableBytes >= 2 else { return .wait }
        try self.endText()
        return .value(.dropped)
    }

    private mutating func endText() throws(RESPError) {
        guard self.buffer.readBytes(length: 2) == [0x0D, 0x0A] else { throw .syntax("a text without its end") }
        self.open = nil
    }

    private mutating func aggregate(_ type: UInt8, _ rest: ArraySlice<UInt8>, _ isFull: Bool) throws(RESPError) -> Step
    {
        let count = try Self.integer(rest)
        if count == -1, type == UInt8(ascii: "*") { return .value(.null) }
        guard count >= 0 else { throw .syntax("a negative count") }
        guard count <= Int64(Int32.max) else { throw .tooLong("a reply of \(count) values") }
        let kind: Frame.Kind
        switch type {
        case UInt8(ascii: "%"): kind = .map
        case UInt8(ascii: "|"): kind = .attribute
        case UInt8(ascii: ">"): kind = .push
        default: kind = .array
        }
        if kind == .push, !self.frames.isEmpty { throw .syntax("a push within a reply") }
        if count == 0 {
            switch kind {
            case .array: return .value(.array([]))
            case .map: return .value(.map([]))
            case .push: return .value(.push([]))
            case .attribute: return .opened
            }
        }
        guard self.frames.count < self.limits.depth else { throw .tooDeep }
        let remaining = kind == .map || kind == .attribute ? Int(count) * 2 : Int(count)
        let isDropped = isFull || remaining > self.limits.values - self.values
        self.frames.append(Frame(kind: kind, remaining: remaining, isDropped: isDropped))
        return .opened
    }

    /// A line without its end; nil if it is not complete.
    private mutating func line() throws(RESPError) -> [UInt8]? {
        let view = self.buffer.readableBytesView
        guard let index = view.dropFirst(self.scanned).firstIndex(of: 0x0A) else {
            self.scanned = view.count
            guard view.count <= self.limits.line else {
                throw .tooLong("a line of more than \(self.limits.line) bytes")
            }
            return nil
        }
        let length = index - view.startIndex
        guard length <= self.limits.line else { throw .tooLong("a line of more than \(self.limits.line) bytes") }
        self.scanned = 0
        guard var line = self.buffer.readBytes(length: length + 1) else { return nil }
        line.removeLast()
        guard line.popLast() == 0x0D else { throw .syntax("a line that ends without a carriage return") }
        guard !line.contains(0x0D) else { throw .syntax("a carriage return in a line") }
        return line
    }

    /// Errors are shown to people: without what a terminal would take for a command.
    private static func plain(_ bytes: ArraySlice<UInt8>) -> String {
        String(
            String(decoding: bytes, as: UTF8.self).unicodeScalars.map {
                $0.value < 0x20 || (0x7F...0x9F).contains($0.value) ? " " : Character($0)
            })
    }

    /// Digits, with a sign or without: nothing else.
    private static func integer(_ text: ArraySlice<UInt8>) throws(RESPError) -> Int64 {
        guard let number = Int64(String(decoding: text, as: UTF8.self)), text.count <= 20 else {
            throw .syntax("a number that is none")
        }
        return number
    }
}
