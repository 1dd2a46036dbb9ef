/// The number of a stream (RFC 9113 §5.1.1): 31 bits. Those of a client are odd, and only grow.
public struct HTTP2StreamID: Hashable, Comparable, Sendable, ExpressibleByIntegerLiteral {
    public let rawValue: UInt32

    /// What concerns the connection as a whole.
    public static let connection: HTTP2StreamID = 0
    /// No stream has a higher one.
    public static let highest: HTTP2StreamID = 0x7FFF_FFFF

    @inlinable public init(rawValue: UInt32) {
        self.rawValue = rawValue
    }

    @inlinable public init(integerLiteral value: UInt32) {
        self.rawValue = value
    }

    @inlinable public static func < (left: HTTP2StreamID, right: HTTP2StreamID) -> Bool {
        left.rawValue < right.rawValue
    }

    /// A client may open a stream of this number.
    var isOfClient: Bool { self.rawValue & 1 == 1 }
}

/// Something that has the number of a stream.
public protocol NumberedStream {
    var id: HTTP2StreamID { get }
}

/// Streams in the order of their numbers. There are as many as a client may have at once, a new one stands last, and a search is cheaper
/// than a hash.
extension Array where Element: NumberedStream {
    /// Where the stream stands; nil if it is not here.
    @inlinable public func index(of id: HTTP2StreamID) -> Int? {
        guard let last = self.last?.id, id <= last else { return nil }
        if id == last { return self.count - 1 }
        var (low, high) = (0, self.count - 1)
        while low < high {
            let middle = (low + high) / 2
            if self[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return self[low].id == id ? low : nil
    }

    public subscript(stream id: HTTP2StreamID) -> Element? {
        @inlinable get { self.index(of: id).map { self[$0] } }
    }
}
