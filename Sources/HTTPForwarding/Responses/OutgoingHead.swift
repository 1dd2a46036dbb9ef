public import HTTPFields
public import NIOCore

/// A response's head on its way to a client, whatever version that speaks: an origin's, one from the store, or the edge's own.
/// Nothing is copied until it is written: ``write(to:)`` for HTTP/1.1, ``forEachField(_:)`` for HTTP/2.
public struct OutgoingHead: Sendable {
    /// 100...999.
    public var status: Int
    /// The reason phrase as the origin sent it; nil: the usual one. HTTP/2 has none.
    public var reason: ByteBuffer?
    /// Status line and fields as they are stored, in the place of ``fields``, ``status`` and ``reason``. They go out in one piece
    /// where no field is left out.
    public var encoded: EncodedHead?
    /// Fields as they came. Of those, ``passes(_:)`` tells which go out. A section whose bytes are lines
    /// (``FieldSection/isLines``) goes out in one piece where none is left out.
    public var fields: FieldSection
    /// Fields that do not go out: those for another hop, those that the site takes away. Framing fields never do.
    public var omitted: KnownFieldSet
    /// The same for names without a number.
    public var omittedNames: [FieldName] = []
    /// The names without a number that `Connection` of ``fields`` has, which do not go out either.
    var namedOthers: [Range<Int>] = []
    /// What stands behind them: `Via`, `Age`, `Cache-Status`.
    public var added = AddedFields()
    /// More of that, put together once for many responses: what the site adds. No framing fields.
    public var siteFields = FieldSection()
    /// The request whose name the client is told (`X-Request-Id`), in the place of one that the origin sent.
    var namedRequest: CheckedRequest?
    /// How the client sees the content's end. HTTP/2 marks it itself: `.chunked` means a length that is not known.
    public var framing: BodyFraming
    /// `Content-Length` where no content follows, and the field tells how long it would be: to HEAD, and in 304.
    public var announcedLength: Int64?
    /// HTTP/1.1 only.
    public var connection: ConnectionField

    /// What `Connection` says to the client.
    public enum ConnectionField: Equatable, Sendable {
        /// Nothing: the connection goes on, as HTTP/1.1 has it.
        case none
        case close
        /// What HTTP/1.0 clients need to hear.
        case keepAlive
        /// With 101 and 426: `Upgrade` is meant for this hop.
        case upgrade(close: Bool)
    }

    public init(
        status: Int, reason: ByteBuffer? = nil, fields: FieldSection = FieldSection(),
        omitted: KnownFieldSet = KnownFieldSet(), framing: BodyFraming, connection: ConnectionField = .none
    ) {
        self.status = status
        self.reason = reason
        self.fields = fields
        self.omitted = omitted
        self.framing = framing
        self.connection = connection
    }

    /// A stored response's head. It holds no framing fields.
    public init(_ encoded: EncodedHead, framing: BodyFraming, connection: ConnectionField = .none) {
        self.init(status: encoded.status, framing: framing, connection: connection)
        self.encoded = encoded
    }

    /// 1xx other than 101: another head follows.
    public var isInformational: Bool { self.status < 200 && self.status != 101 }

    /// The length that `Content-Length` tells; nil where there is no such field.
    public var contentLength: Int64? {
        if case .length(let length) = self.framing { return length }
        return self.framing == .none ? self.announcedLength : nil
    }

    /// Whether a field of ``fields`` goes out.
    public func passes(_ field: FieldRecord) -> Bool {
        if let known = field.known {
            return known != .contentLength && known != .transferEncoding && !self.omitted.contains(known)
        }
        if self.fields.isNamed(field, by: self.namedOthers) { return false }
        return self.omittedNames.isEmpty || !self.omittedNames.contains { self.fields.isNamed(field, $0) }
    }

    /// The same for a field of ``encoded``.
    func passes(_ field: FieldRecord, ofEncoded section: FieldSection) -> Bool {
        if let known = field.known { return !self.omitted.contains(known) }
        return self.omittedNames.isEmpty || !self.omittedNames.contains { section.isNamed(field, $0) }
    }

    /// Whether all fields go out.
    var passesAll: Bool {
        if self.encoded != nil { return self.omittedNames.isEmpty && self.omitted.isEmpty }
        return self.namedOthers.isEmpty && self.omittedNames.isEmpty && !self.fields.known.intersects(self.omitted)
            && !self.fields.contains(.contentLength) && !self.fields.contains(.transferEncoding)
    }

    /// Whether nothing of ``fields`` is left out but framing fields and those that are for one hop by their names: rules that look at
    /// others may look at ``fields`` as they came.
    public var omitsOnlyHopFields: Bool {
        guard self.encoded == nil, self.namedOthers.isEmpty, self.omittedNames.isEmpty else { return false }
        var others = self.omitted
        others.subtract(RequestRules.hop)
        return !self.fields.known.intersects(others)
    }

    /// Takes away all fields of a name, also those that were added.
    public mutating func remove(_ name: FieldName) {
        if let known = name.known {
            self.omitted.insert(known)
            self.added.remove(known)
        } else {
            self.omittedNames.append(name)
        }
    }

    /// Tells the client what its request is called, where the site wants that.
    public mutating func name(_ request: CheckedRequest) {
        guard request.showsName else { return }
        if let field = RequestName.fieldName { self.omittedNames.append(field) }
        self.namedRequest = request
    }

    /// The fields that go out, in their order, without `Connection` and `Transfer-Encoding`. Names of ``fields`` are spelled as they
    /// came, the others in their usual spelling; all bytes are valid until the call returns.
    public func forEachField(_ body: (_ name: UnsafeRawBufferPointer, _ value: UnsafeRawBufferPointer) -> Void) {
        if let encoded { self.give(encoded, to: body) }
        for field in self.fields where self.passes(field) { Self.give(field, of: self.fields, to: body) }
        self.added.forEach { name, value in value.withBytes { body(UnsafeRawBufferPointer(name.name), $0) } }
        for field in self.siteFields { Self.give(field, of: self.siteFields, to: body) }
        if let namedRequest, let name = namedRequest.name {
            name.withBytes(in: namedRequest.fields) { value in
                RequestName.field.withUTF8Buffer { body(UnsafeRawBufferPointer($0), value) }
            }
        }
        if let contentLength {
            AddedFields.Value.number(contentLength).withBytes {
                body(UnsafeRawBufferPointer(KnownField.contentLength.name), $0)
            }
        }
    }

    private func give(_ encoded: EncodedHead, to body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void) {
        guard self.passesAll else {
            let section = encoded.section
            for field in section where self.passes(field, ofEncoded: section) {
                Self.give(field, of: section, to: body)
            }
            return
        }
        encoded.withBytes { bytes in
            encoded.forEachField {
                body(
                    UnsafeRawBufferPointer(rebasing: bytes[$0.name]), UnsafeRawBufferPointer(rebasing: bytes[$0.value]))
            }
        }
    }

    private static func give(
        _ field: FieldRecord, of section: FieldSection,
        to body: (UnsafeRawBufferPointer, UnsafeRawBufferPointer) -> Void
    ) {
        section.withBytes(field.name) { name in section.withBytes(field.value) { body(name, $0) } }
    }

    /// The fields that go out as a section of their own, without `Content-Length`: to be stored, or to be judged by rules that look at
    /// fields alone.
    public func endToEndFields() -> FieldSection {
        if self.fields.isLines, self.encoded == nil, self.passesAll, self.added.isEmpty, self.siteFields.isEmpty {
            return self.fields
        }
        var builder = FieldSectionBuilder(capacity: self.fields.bytes.readableBytes + 64)
        if let encoded {
            let section = encoded.section
            for field in section where self.passes(field, ofEncoded: section) { builder.add(field, of: section) }
        }
        for field in self.fields where self.passes(field) { builder.add(field, of: self.fields) }
        self.added.forEach { name, value in
            // Values without controls are never refused.
            value.withBytes { bytes in _ = try? builder.add(name, bytes) }
        }
        for field in self.siteFields { builder.add(field, of: self.siteFields) }
        return builder.section
    }
}
