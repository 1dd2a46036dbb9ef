import HTTPFields

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
    /// What the edge says about the client in one of ``ClientClaims/written``: one value.
    func forEachClaim(_ name: KnownField, _ body: ([UInt8]) -> Void) {
        let policy = self.rules.policy
        let extends = policy.clientClaims == .append
        var value: [UInt8] = []
        switch name {
        case .forwarded, .xForwardedFor:
            if extends { self.join(name, into: &value) }
            if !value.isEmpty { value.append(contentsOf: ", ".utf8) }
            if name == .forwarded {
                value.append(contentsOf: self.rules.forwardedPrefix.utf8)
                value.append(contentsOf: ForwardedElement.value(self.host).utf8)
            } else {
                value.append(contentsOf: self.rules.client.plainValue.utf8)
            }
        case .xForwardedProto, .xForwardedHost:
            // These have one value each by custom: the first hop's.
            if extends, let last = self.fields.last(where: { $0.known == name }) {
                value = self.fields.copy(last.value)
            } else {
                value = Array((name == .xForwardedProto ? policy.scheme : self.host).utf8)
            }
        default: return
        }
        body(value)
    }

    private func join(_ name: KnownField, into value: inout [UInt8]) {
        guard self.fields.contains(name) else { return }
        for field in self.fields where field.known == name {
            if !value.isEmpty { value.append(contentsOf: ", ".utf8) }
            value.append(contentsOf: self.fields.copy(field.value))
        }
    }
}
