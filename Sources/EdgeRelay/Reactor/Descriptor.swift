import CRelaySockets

/// A file descriptor, closed with the last reference to it: there is no other way to close it, and so none to close it twice, or to use it
/// afterwards.
final class Descriptor: Sendable {
    let number: Int32

    /// Takes a descriptor that is open, or a negated error number.
    init(owning number: Int32) throws(DescriptorError) {
        guard number >= 0 else { throw DescriptorError(code: -number) }
        self.number = number
    }

    /// Another one for the same socket, whose owner may close its own.
    convenience init(duplicating number: Int32) throws(DescriptorError) {
        try self.init(owning: latchstring_duplicate(number))
    }

    deinit { latchstring_close(self.number) }
}

/// What the system says of a call about descriptors.
struct DescriptorError: Error, Equatable {
    /// As in `errno`.
    var code: Int32
}
