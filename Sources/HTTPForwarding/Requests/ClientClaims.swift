public import HTTPFields
import NIOCore

/// Fields in which a request says whom it comes from: `Forwarded`, `X-Forwarded-*`, `X-Real-IP`, also where spelled with underscores.
/// Gateways to application servers fold both spellings to one variable.
enum ClientClaims {
    /// Those that the edge writes, in the order in which it writes them.
    static let written: [KnownField] = [.forwarded, .xForwardedFor, .xForwardedProto, .xForwardedHost]

    /// Those with a number.
    static let known = KnownFieldSet(
        .forwarded, .xForwardedFor, .xForwardedProto, .xForwardedHost, .xForwardedPort, .xRealIP)

    /// Whether a field without a number is one.
    static func isOne(_ field: FieldRecord, of section: FieldSection) -> Bool {
        guard field.name.count >= 9 else { return false }
        return section.withBytes(field.name) { name in
            guard name[0] | 0x20 == UInt8(ascii: "x") else { return false }
            if Self.begins(name, "x-forwarded-") { return true }
            return name.count == 9 && Self.begins(name, "x-real-ip")
        }
    }

    /// Whether a field says of the request what its key says, or nothing that a key has: the address of the client.
    ///
    /// - Parameter host: as the origin gets it, with a port that is not the scheme's own.
    static func agrees(_ field: FieldRecord, of section: FieldSection, scheme: String, host: String) -> Bool {
        func isFor(_ rest: StaticString, _ name: UnsafeRawBufferPointer) -> Bool {
            name.count == 12 + rest.utf8CodeUnitCount
                && Self.begins(UnsafeRawBufferPointer(rebasing: name[12...]), rest)
        }
        func says(_ text: some StringProtocol) -> Bool {
            section.withBytes(field.value) { value in
                value.count == text.utf8.count
                    && value.elementsEqual(text.utf8) { ByteClass.lowercased($0) == ByteClass.lowercased($1) }
            }
        }
        let ownPort = scheme == "http" ? "80" : "443"
        return section.withBytes(field.name) { name in
            // X-Real-IP.
            guard name.count > 12 else { return true }
            if isFor("for", name) { return true }
            if isFor("host", name) { return says(host) || says("\(host):\(ownPort)") }
            if isFor("proto", name) || isFor("scheme", name) || isFor("protocol", name) { return says(scheme) }
            if isFor("ssl", name) { return says(scheme == "https" ? "on" : "off") }
            if isFor("port", name) {
                return says(host.split(separator: ":", maxSplits: 1).dropFirst().first.map { String($0) } ?? ownPort)
            }
            return false
        }
    }

    /// Letter case does not count, and `_` is taken for `-`.
    private static func begins(_ name: UnsafeRawBufferPointer, _ text: StaticString) -> Bool {
        guard name.count >= text.utf8CodeUnitCount else { return false }
        for index in 0..<text.utf8CodeUnitCount {
            let byte = name[index] == UInt8(ascii: "_") ? UInt8(ascii: "-") : ByteClass.lowercased(name[index])
            if byte != text.utf8Start[index] { return false }
        }
        return true
    }
}

extension CheckedRequest {
    /// Claims that a trusted proxy passed on, and that say something else than the request itself. Such a proxy is trusted for whom it
    /// speaks; that it sets every field of this kind, and lets none through, is not known.
    public func forEachDifferingClaim(_ body: (FieldRecord) -> Void) {
        guard self.rules.policy.clientClaims == .append else { return }
        for field in self.fields {
            if let known = field.known, !ClientClaims.known.contains(known) || known == .forwarded { continue }
            guard field.known != nil || ClientClaims.isOne(field, of: self.fields) else { continue }
            if !ClientClaims.agrees(field, of: self.fields, scheme: self.scheme, host: self.host) { body(field) }
        }
    }

    /// Writes what the edge says about the client in one of ``ClientClaims/written``: one value, at the end of a buffer.
    func writeClaim(_ name: KnownField, to buffer: inout ByteBuffer) {
        let policy = self.rules.policy
        let extends = policy.clientClaims == .append
        switch name {
        case .forwarded, .xForwardedFor:
            let start = buffer.writerIndex
            if extends { self.writeValues(of: name, to: &buffer) }
            if buffer.writerIndex > start { buffer.writeStaticString(", ") }
            if name == .forwarded {
                buffer.writeString(self.rules.forwardedPrefix)
                ForwardedElement.write(self.host, to: &buffer)
            } else {
                buffer.writeString(self.rules.client.plainValue)
            }
        case .xForwardedProto, .xForwardedHost:
            // These have one value each by custom: the first hop's.
            if extends, let last = self.fields.last(where: { $0.known == name }) {
                self.write(last.value, to: &buffer)
            } else {
                buffer.writeString(name == .xForwardedProto ? policy.scheme : self.host)
            }
        default: break
        }
    }

    /// All values of a name, with commas between them.
    private func writeValues(of name: KnownField, to buffer: inout ByteBuffer) {
        guard self.fields.contains(name) else { return }
        let start = buffer.writerIndex
        for field in self.fields where field.known == name {
            if buffer.writerIndex > start { buffer.writeStaticString(", ") }
            self.write(field.value, to: &buffer)
        }
    }

    private func write(_ range: Range<Int>, to buffer: inout ByteBuffer) {
        self.fields.withBytes(range) { _ = buffer.writeBytes($0) }
    }
}
