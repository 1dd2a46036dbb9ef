/// The fields of a request as its origin gets them, asked for by name: what `Vary` may select by (RFC 9111 §4.1).
///
/// Where an intermediary takes fields away, changes them or adds some of its own, those that the origin sees count, and they are
/// found without the origin's head being built. A class: each request holds its source, and a reference is all that it keeps of it.
public protocol SelectorSource: AnyObject, Sendable {
    /// Calls `body` with the value of each line of this name, in order. Not at all: the origin gets no such field.
    ///
    /// - Parameter body: the bytes are valid only until it returns.
    func forEachSelectorLine(_ name: FieldName, _ body: (UnsafeRawBufferPointer) -> Void)

    /// Calls `body` for each of the client's fields that the origin gets, and that say something else of the request than it says itself:
    /// another host, another scheme. No key has them.
    func forEachDifferingClaim(_ body: (FieldRecord) -> Void)
}

extension SelectorSource {
    public func forEachDifferingClaim(_ body: (FieldRecord) -> Void) {}
}
