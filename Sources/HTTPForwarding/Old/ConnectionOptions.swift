/// What the `Connection` fields of one message say (RFC 9110 §7.6.1).
struct OldConnectionOptions {
    var close = false
    var keepAlive = false
    var upgrade = false
    var te = false
    /// One field, and nothing in it but tokens, commas and spaces: every parser reads it alike.
    private(set) var isPlain = true
    private var fields = 0
    /// Further names, in lower case: fields meant for this hop only.
    var listed: [String] = []

    mutating func add(_ value: String) {
        self.fields += 1
        self.isPlain =
            self.fields == 1
            && value.utf8.allSatisfy { byte in
                FieldText.isTokenByte(byte) || byte == UInt8(ascii: ",") || byte == UInt8(ascii: " ")
            }
        // The three usual values, without walking a list.
        if FieldText.equal(value, "keep-alive") {
            self.keepAlive = true
        } else if FieldText.equal(value, "close") {
            self.close = true
        } else {
            FieldText.forEachElement(value) { element in
                if FieldText.equal(element, "close") {
                    self.close = true
                } else if FieldText.equal(element, "keep-alive") {
                    self.keepAlive = true
                } else if FieldText.equal(element, "upgrade") {
                    self.upgrade = true
                } else if FieldText.equal(element, "te") {
                    self.te = true
                } else {
                    self.listed.append(FieldText.lowercased(element))
                }
            }
        }
    }

    /// Whether an option names a field without which the message means something else: its framing or its host.
    /// No honest sender does that; removing the field would.
    var namesVitalField: Bool {
        self.listed.contains { $0 == "host" || $0 == "content-length" || $0 == "transfer-encoding" }
    }

    /// Whether the connection may carry another message (RFC 9112 §9.3).
    func persists(minorVersion: Int) -> Bool {
        if self.close { return false }
        return minorVersion >= 1 || self.keepAlive
    }

    /// Removes the fields that `Connection` listed.
    func removeListed(from fields: inout [(String, String)]) {
        guard !self.listed.isEmpty else { return }
        fields.removeAll { field in self.listed.contains(FieldText.lowercased(field.0)) }
    }
}
