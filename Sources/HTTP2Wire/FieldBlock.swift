public import HTTPFields

/// A header section or trailers, as one HEADERS frame and its CONTINUATION frames had it.
public struct FieldBlock: Sendable {
    /// The fields that are no pseudo-fields. Values are passed byte for byte. Its bytes hold the pseudo-fields as well.
    public let fields: FieldSection
    /// Where the pseudo-fields' values stand in the section's bytes; nil for those that were not sent.
    public let method: Range<Int>?
    public let scheme: Range<Int>?
    public let path: Range<Int>?
    public let authority: Range<Int>?
    /// What makes it malformed, if anything does.
    public let malformation: HTTP2Malformation?
    /// The section is larger than the limits: what is beyond them is not here.
    public let isTooLarge: Bool

    /// Why it is no trailer section; nil if it is one.
    public var trailerMalformation: HTTP2Malformation? {
        if let malformation { return malformation }
        let hasNone = self.method == nil && self.scheme == nil && self.path == nil && self.authority == nil
        return hasNone ? nil : .pseudoFieldInTrailers
    }

    /// Bytes of memory that it holds, which may be thousands for each that was sent.
    public var heldBytes: Int { self.fields.heldBytes }
}

/// Bounds of one section.
public struct FieldBlockLimits: Sendable {
    /// Names and values, with 32 bytes for each (RFC 9113 §6.5.2).
    public var sectionBytes: Int
    public var fields: Int
    /// Of a section beyond the others, which is decoded only so that the tables stay in step: so much, and no more.
    var decodedBytes: Int { 4 * self.sectionBytes }

    public init(sectionBytes: Int, fields: Int) {
        self.sectionBytes = sectionBytes
        self.fields = fields
    }
}
