public import HTTPFields
import HTTPWire
public import NIOCore

/// How the request to the origin differs from the client's for the cache's sake: the client's conditions replaced by the cache's own,
/// a range left out.
public struct OriginRequestEdits: Sendable {
    /// The method in the place of the client's: a response to GET is fetched where the client sent HEAD.
    public var method: RequestMethod?
    /// Fields of the client's that the origin does not get.
    public var removed = KnownFieldSet()
    /// The same for names without a number.
    public var removedNames: [FieldName] = []
    /// Fields that the origin gets besides. No framing fields.
    public var added = FieldSection()

    public init() {}

    func removes(_ field: FieldRecord, of section: FieldSection) -> Bool {
        if let known = field.known { return self.removed.contains(known) }
        return !self.removedNames.isEmpty && self.removedNames.contains { section.isNamed(field, $0) }
    }
}

extension CheckedRequest {
    /// Whether the origin gets this field of ``fields`` as the client sent it: it is not for one hop only, and neither replaced nor
    /// extended by the edge.
    public func passes(_ field: FieldRecord) -> Bool {
        if let known = field.known {
            return !self.rules.special.contains(known) && !self.connection.named.contains(known)
        }
        if self.fields.isNamed(field, by: self.connection.others) { return false }
        if self.name != nil, RequestName.isField(field, of: self.fields) { return false }
        return self.rules.policy.clientClaims == .append || !ClientClaims.isOne(field, of: self.fields)
    }

    /// Writes the request's head as the origin gets it, as HTTP/1.1 with its empty line, at the end of a buffer.
    public func writeOriginHead(edits: OriginRequestEdits = OriginRequestEdits(), to buffer: inout ByteBuffer) {
        let method = edits.method ?? self.method
        var writer = HeadWriter(
            judgedMethod: method == .other ? self.otherMethod : nil, method, target: self.target, to: &buffer)
        Self.withBytes(self.host) { writer.add(.host, judged: $0, to: &buffer) }
        for field in self.fields where self.passes(field) && !edits.removes(field, of: self.fields) {
            writer.add(field, of: self.fields, to: &buffer)
        }
        for field in edits.added { writer.add(field, of: edits.added, to: &buffer) }
        if self.framing == .chunked, edits.method == nil { self.write(.trailer, with: &writer, to: &buffer) }
        if self.expectsContinue { writer.add(.expect, judged: "100-continue", to: &buffer) }
        if let maxForwards { writer.add(.maxForwards, .number(maxForwards), to: &buffer) }
        self.write(.via, with: &writer, to: &buffer)
        Self.withBytes(self.rules.via(self.version)) { writer.add(.via, judged: $0, to: &buffer) }
        for name in ClientClaims.written {
            writer.add(name, to: &buffer) { self.writeClaim(name, to: &$0) }
        }
        self.name?.withBytes(in: self.fields) { writer.add(RequestName.field, judged: $0, to: &buffer) }
        // What follows an upgrade is not HTTP.
        if self.upgrades {
            writer.add(.connection, judged: "Upgrade", to: &buffer)
            self.upgradeProtocols.withUnsafeBytes { writer.add(.upgrade, judged: $0, to: &buffer) }
        } else if self.acceptsTrailers {
            writer.add(.connection, judged: "TE", to: &buffer)
            writer.add(.te, judged: "trailers", to: &buffer)
        }
        writer.finish(edits.method == nil ? self.framing : .none, to: &buffer)
    }

    private func write(_ name: KnownField, with writer: inout HeadWriter, to buffer: inout ByteBuffer) {
        guard self.fields.contains(name) else { return }
        for field in self.fields where field.known == name { writer.add(field, of: self.fields, to: &buffer) }
    }

    /// The lines that the origin gets for this name if there is no cache, in their order: what `Vary` selects by. None for fields
    /// that are for one hop only, but for `TE: trailers`, nor for those that say how the content ends.
    ///
    /// - Parameter body: gets each value; its bytes are valid until it returns.
    public func forEachSelectorLine(_ name: FieldName, _ body: (UnsafeRawBufferPointer) -> Void) {
        switch name.known {
        case .host: Self.withBytes(self.host, body)
        case .via:
            for field in self.fields where field.known == .via { self.fields.withBytes(field.value, body) }
            Self.withBytes(self.rules.via(self.version), body)
        case .forwarded, .xForwardedFor, .xForwardedProto, .xForwardedHost:
            guard let known = name.known else { return }
            var value = ByteBuffer()
            self.writeClaim(known, to: &value)
            value.withUnsafeReadableBytes(body)
        case .te: if self.acceptsTrailers, !self.upgrades { Self.withBytes("trailers", body) }
        case let known?:
            guard self.fields.contains(known) else { return }
            for field in self.fields where field.known == known && self.passes(field) {
                self.fields.withBytes(field.value, body)
            }
        case nil:
            if let own = self.name, RequestName.isField(name) { own.withBytes(in: self.fields, body) }
            for field in self.fields where field.known == nil && self.fields.isNamed(field, name) {
                if self.passes(field) { self.fields.withBytes(field.value, body) }
            }
        }
    }

    static func withBytes(_ text: String, _ body: (UnsafeRawBufferPointer) -> Void) {
        var text = text
        text.withUTF8 { body(UnsafeRawBufferPointer($0)) }
    }

    private var acceptsTrailers: Bool {
        guard self.version > .http10, self.fields.contains(.te) else { return false }
        let fields = self.fields
        let bytes = fields.bytes.readableBytesUInt8Span
        var accepts = false
        for field in fields where field.known == .te {
            FieldList.forEach(bytes, field.value, .tokens) { element in
                if bytes.equals(element, "trailers") { accepts = true }
            }
        }
        return accepts
    }

    /// What the client wants to change to, without what concerns HTTP or TLS on this hop only.
    private var upgradeProtocols: [UInt8] {
        var list: [UInt8] = []
        let fields = self.fields
        let bytes = fields.bytes.readableBytesUInt8Span
        for field in fields where field.known == .upgrade {
            FieldList.forEach(bytes, field.value, .tokens) { element in
                guard UpgradeProtocol.isForOrigin(bytes, element) else { return }
                if !list.isEmpty { list.append(contentsOf: ", ".utf8) }
                for position in element { list.append(bytes[position]) }
            }
        }
        return list
    }
}
