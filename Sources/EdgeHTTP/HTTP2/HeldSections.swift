/// The memory of the field sections that the unfinished requests of a connection hold. Pure.
///
/// A client's table lets it name kilobytes with one byte (RFC 7541 §7.3, RFC 9113 §10.5.1): the bound on one section leaves it some 25 bytes for
/// 64 KiB here, a hundred times over, held for as long as it does not end its requests. Our bug: more given back than was taken; ignored.
struct HeldSections {
    private let limit: Int
    private(set) var bytes = 0

    /// - Parameter limit: in bytes. One section is taken whatever its size.
    init(limit: Int) {
        self.limit = limit
    }

    /// - Returns: whether there is room. Otherwise nothing is counted.
    func hasRoom(for count: Int) -> Bool { self.bytes == 0 || self.bytes + count <= self.limit }

    mutating func took(_ count: Int) { self.bytes += count }

    mutating func gave(back count: Int) { self.bytes = max(0, self.bytes - count) }
}
