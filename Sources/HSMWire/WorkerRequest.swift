/// What a key holder asks of a worker, in this order: to open a token, to log in to it, to find keys, to sign.
public enum WorkerRequest: Equatable, Sendable {
    /// Loads the module, finds the token, and opens the session.
    case open(module: String, token: TokenSelection)
    /// Logs the session in as the user.
    case login(pin: [UInt8])
    /// Finds a private key; its number is for ``sign(key:mechanism:data:)``.
    case find(KeySelection)
    case sign(key: UInt32, mechanism: TokenMechanism, data: [UInt8])

    public static let longestModule = 1024
    public static let longestPIN = 255
    /// A digest, or a DigestInfo.
    public static let longestData = 128

    /// A whole frame. Nil if a part is too long for it.
    ///
    /// That of a login has the PIN, once: the caller wipes it.
    public func encode(number: UInt32) -> [UInt8]? {
        var body: FieldWriter
        switch self {
        case .open(let module, let token):
            body = FieldWriter(kind: 1, number: number, capacity: 0)
            guard module.utf8.count <= Self.longestModule else { return nil }
            body.write(field: Array(module.utf8))
            for text in [token.label, token.manufacturer, token.model, token.serial] {
                guard text.map({ $0.utf8.count <= 32 }) ?? true else { return nil }
                body.write(optional: text.map { Array($0.utf8) })
            }
            body.write(UInt8(token.slot == nil ? 0 : 1))
            body.write(token.slot ?? 0)
        case .login(let pin):
            guard pin.count <= Self.longestPIN else { return nil }
            // With room for all of it: a frame that grew would leave a copy of the PIN behind, which nothing wipes.
            body = FieldWriter(kind: 2, number: number, capacity: pin.count + 2)
            body.write(field: pin)
        case .find(let key):
            body = FieldWriter(kind: 3, number: number, capacity: 0)
            guard (key.label?.utf8.count ?? 0) <= KeySelection.longest, (key.id?.count ?? 0) <= KeySelection.longest
            else { return nil }
            body.write(optional: key.label.map { Array($0.utf8) })
            body.write(optional: key.id)
        case .sign(let key, let mechanism, let data):
            body = FieldWriter(kind: 4, number: number, capacity: data.count + 7)
            guard data.count <= Self.longestData else { return nil }
            body.write(key)
            body.write(mechanism.rawValue)
            body.write(field: data)
        }
        return body.frame()
    }

    /// - Parameter frame: Without its length.
    public static func decode(
        _ frame: [UInt8]
    ) throws(WorkerFrameError) -> (number: UInt32, request: WorkerRequest) {
        var reader = FieldReader(frame[...])
        let kind = try reader.number(UInt8.self)
        let number = try reader.number(UInt32.self)
        let request: WorkerRequest
        switch kind {
        case 1:
            let module = try reader.text(atMost: Self.longestModule)
            var token = TokenSelection()
            token.label = try reader.optionalText(atMost: 32)
            token.manufacturer = try reader.optionalText(atMost: 32)
            token.model = try reader.optionalText(atMost: 32)
            token.serial = try reader.optionalText(atMost: 32)
            let hasSlot = try reader.number(UInt8.self)
            let slot = try reader.number(UInt64.self)
            token.slot = hasSlot == 0 ? nil : slot
            request = .open(module: module, token: token)
        case 2: request = .login(pin: try reader.field(atMost: Self.longestPIN))
        case 3:
            var key = KeySelection()
            key.label = try reader.optionalText(atMost: KeySelection.longest)
            key.id = try reader.optionalField(atMost: KeySelection.longest)
            request = .find(key)
        case 4:
            let key = try reader.number(UInt32.self)
            guard let mechanism = TokenMechanism(rawValue: try reader.number(UInt8.self)) else {
                throw WorkerFrameError()
            }
            request = .sign(key: key, mechanism: mechanism, data: try reader.field(atMost: Self.longestData))
        default: throw WorkerFrameError()
        }
        try reader.end()
        return (number, request)
    }
}

/// How a token signs.
public enum TokenMechanism: UInt8, CaseIterable, Sendable {
    /// `CKM_RSA_PKCS` over a DigestInfo.
    case rsaPKCS1 = 1
    /// `CKM_RSA_PKCS_PSS` over a digest, with MGF1 of the same hash and a salt as long.
    case rsaPSSSHA256 = 2
    case rsaPSSSHA384 = 3
    case rsaPSSSHA512 = 4
    /// `CKM_ECDSA` over a digest: two numbers, each as long as the curve's order.
    case ecdsa = 5
}
