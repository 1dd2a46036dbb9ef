public import NIOCore

/// One command: its name and arguments, as an array of bulk strings.
public struct RESPCommand: Equatable, Sendable {
    public var words: [[UInt8]]

    public init(_ words: [[UInt8]]) {
        self.words = words
    }

    public init(_ words: String...) {
        self.words = words.map { Array($0.utf8) }
    }

    /// With arguments that are bytes.
    public func adding(_ words: [UInt8]...) -> RESPCommand { RESPCommand(self.words + words) }

    public func adding(_ words: String...) -> RESPCommand { RESPCommand(self.words + words.map { Array($0.utf8) }) }

    /// For messages: no argument is part of it, since one may be a password.
    public var name: String { String(decoding: self.words.first ?? [], as: UTF8.self) }

    public func encode(into buffer: inout ByteBuffer) {
        buffer.writeString("*\(self.words.count)\r\n")
        for word in self.words {
            buffer.writeString("$\(word.count)\r\n")
            buffer.writeBytes(word)
            buffer.writeString("\r\n")
        }
    }
}
