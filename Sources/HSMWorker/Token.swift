import CPKCS11
import HSMWire

/// One token and the session with it.
final class Token {
    private let load: WorkerLoop.Loader
    private var functions: CK_FUNCTION_LIST?
    private var session: CK_SESSION_HANDLE?
    /// What ``find(_:)`` found; a key's number is its place.
    private var keys: [CK_OBJECT_HANDLE] = []

    private static let mostSlots = 1024
    private static let mostKeys = 65_536

    init(load: @escaping WorkerLoop.Loader) {
        self.load = load
    }

    /// Once in a process.
    func open(_ module: String, _ selection: TokenSelection) throws(TokenFailure) -> TokenFacts {
        guard self.functions == nil else { throw TokenFailure(.request, detail: "open") }
        let functions = try self.load(module).list
        self.functions = functions
        try Self.call("C_Initialize", functions.C_Initialize?(nil))
        let (slot, information) = try Self.find(selection, functions)
        var session: CK_SESSION_HANDLE = 0
        try Self.call(
            "C_OpenSession", functions.C_OpenSession?(slot, CK_FLAGS(CKF_SERIAL_SESSION), nil, nil, &session))
        self.session = session
        let flags = information.flags
        if flags & CK_FLAGS(CKF_USER_PIN_LOCKED) != 0 {
            throw TokenFailure(.function, code: UInt64(CKR_PIN_LOCKED), detail: "C_GetTokenInfo")
        }
        return TokenFacts(
            label: Self.text(information.label), serial: Self.text(information.serialNumber),
            needsLogin: flags & CK_FLAGS(CKF_LOGIN_REQUIRED) != 0,
            isLastTry: flags & CK_FLAGS(CKF_USER_PIN_FINAL_TRY) != 0)
    }

    private static func find(
        _ selection: TokenSelection, _ functions: CK_FUNCTION_LIST
    ) throws(TokenFailure) -> (CK_SLOT_ID, CK_TOKEN_INFO) {
        var count: CK_ULONG = 0
        try Self.call("C_GetSlotList", functions.C_GetSlotList?(1, nil, &count))
        guard count > 0 else { throw TokenFailure(.noToken) }
        guard count <= CK_ULONG(Self.mostSlots) else { throw TokenFailure(.severalTokens) }
        var slots = [CK_SLOT_ID](repeating: 0, count: Int(count))
        try Self.call("C_GetSlotList", functions.C_GetSlotList?(1, &slots, &count))
        var found: (CK_SLOT_ID, CK_TOKEN_INFO)?
        for slot in slots.prefix(Int(min(count, CK_ULONG(slots.count)))) {
            var information = CK_TOKEN_INFO()
            // A slot whose token cannot be asked is not the one, nor one that was never set up: SoftHSM always has such a one.
            guard functions.C_GetTokenInfo?(slot, &information) == CKR_OK,
                information.flags & CK_FLAGS(CKF_TOKEN_INITIALIZED) != 0, selection.matches(information, slot)
            else { continue }
            guard found == nil else { throw TokenFailure(.severalTokens) }
            found = (slot, information)
        }
        guard let found else { throw TokenFailure(.noToken) }
        return found
    }

    /// - Parameter pin: The caller wipes it.
    func login(_ pin: [UInt8]) throws(TokenFailure) {
        let (functions, session) = try self.opened()
        let code = pin.withUnsafeBufferPointer { pin in
            functions.C_Login?(
                session, CK_USER_TYPE(CKU_USER), UnsafeMutablePointer(mutating: pin.baseAddress), CK_ULONG(pin.count))
        }
        if code == CKR_USER_ALREADY_LOGGED_IN { return }
        try Self.call("C_Login", code)
    }

    func find(_ selection: KeySelection) throws(TokenFailure) -> UInt32 {
        let (functions, session) = try self.opened()
        guard self.keys.count < Self.mostKeys else { throw TokenFailure(.request, detail: "find") }
        let handle = try Self.find(selection, functions, session)
        // By default a key signs, and asks once.
        if Self.isTrue(CK_ATTRIBUTE_TYPE(CKA_SIGN), handle, functions, session) == false {
            throw TokenFailure(.keyDoesNotSign)
        }
        if Self.isTrue(CK_ATTRIBUTE_TYPE(CKA_ALWAYS_AUTHENTICATE), handle, functions, session) == true {
            throw TokenFailure(.keyAsksEachTime)
        }
        self.keys.append(handle)
        return UInt32(self.keys.count - 1)
    }

    private static func find(
        _ selection: KeySelection, _ functions: CK_FUNCTION_LIST, _ session: CK_SESSION_HANDLE
    ) throws(TokenFailure) -> CK_OBJECT_HANDLE {
        var kind = CK_OBJECT_CLASS(CKO_PRIVATE_KEY)
        var label = Array((selection.label ?? "").utf8)
        var id = selection.id ?? []
        let code = withUnsafeMutableBytes(of: &kind) { kind in
            label.withUnsafeMutableBytes { label in
                id.withUnsafeMutableBytes { id in
                    var template = [
                        CK_ATTRIBUTE(
                            type: CK_ATTRIBUTE_TYPE(CKA_CLASS), pValue: kind.baseAddress,
                            ulValueLen: CK_ULONG(kind.count)
                        )
                    ]
                    if selection.label != nil {
                        template.append(
                            CK_ATTRIBUTE(
                                type: CK_ATTRIBUTE_TYPE(CKA_LABEL), pValue: label.baseAddress,
                                ulValueLen: CK_ULONG(label.count)))
                    }
                    if selection.id != nil {
                        template.append(
                            CK_ATTRIBUTE(
                                type: CK_ATTRIBUTE_TYPE(CKA_ID), pValue: id.baseAddress, ulValueLen: CK_ULONG(id.count))
                        )
                    }
                    return functions.C_FindObjectsInit?(session, &template, CK_ULONG(template.count))
                }
            }
        }
        try Self.call("C_FindObjectsInit", code)
        var handles: [CK_OBJECT_HANDLE] = [0, 0]
        var count: CK_ULONG = 0
        let found = functions.C_FindObjects?(session, &handles, 2, &count)
        let ended = functions.C_FindObjectsFinal?(session)
        try Self.call("C_FindObjects", found)
        try Self.call("C_FindObjectsFinal", ended)
        guard count > 0 else { throw TokenFailure(.noKey) }
        guard count == 1 else { throw TokenFailure(.severalKeys) }
        return handles[0]
    }

    /// Nil where the token does not say.
    private static func isTrue(
        _ type: CK_ATTRIBUTE_TYPE, _ handle: CK_OBJECT_HANDLE, _ functions: CK_FUNCTION_LIST,
        _ session: CK_SESSION_HANDLE
    ) -> Bool? {
        var value: CK_BBOOL = 0
        return withUnsafeMutableBytes(of: &value) { bytes in
            var attribute = CK_ATTRIBUTE(type: type, pValue: bytes.baseAddress, ulValueLen: CK_ULONG(bytes.count))
            guard functions.C_GetAttributeValue?(session, handle, &attribute, 1) == CKR_OK, attribute.ulValueLen == 1
            else { return nil }
            return bytes.first != 0
        }
    }

    func sign(_ key: UInt32, _ mechanism: TokenMechanism, _ data: [UInt8]) throws(TokenFailure) -> [UInt8] {
        let (functions, session) = try self.opened()
        guard Int(key) < self.keys.count else { throw TokenFailure(.request, detail: "sign") }
        let handle = self.keys[Int(key)]
        var parameters = mechanism.pssParameters ?? CK_RSA_PKCS_PSS_PARAMS()
        let begun = withUnsafeMutableBytes(of: &parameters) { bytes in
            let hasParameters = mechanism.pssParameters != nil
            var value = CK_MECHANISM(
                mechanism: mechanism.number, pParameter: hasParameters ? bytes.baseAddress : nil,
                ulParameterLen: hasParameters ? CK_ULONG(bytes.count) : 0)
            return functions.C_SignInit?(session, &value, handle)
        }
        try Self.call("C_SignInit", begun)
        var data = data
        var signature = [UInt8](repeating: 0, count: WorkerAnswer.longestSignature)
        var length = CK_ULONG(signature.count)
        try Self.call(
            "C_Sign", functions.C_Sign?(session, &data, CK_ULONG(data.count), &signature, &length))
        guard length <= CK_ULONG(signature.count) else { throw TokenFailure(.function, code: 0, detail: "C_Sign") }
        return Array(signature.prefix(Int(length)))
    }

    private func opened() throws(TokenFailure) -> (CK_FUNCTION_LIST, CK_SESSION_HANDLE) {
        guard let functions = self.functions, let session = self.session else {
            throw TokenFailure(.request, detail: "not opened")
        }
        return (functions, session)
    }

    /// - Parameter code: What the function returned; nil: the module does not have it.
    private static func call(_ name: String, _ code: CK_RV?) throws(TokenFailure) {
        guard let code else {
            throw TokenFailure(.function, code: UInt64(CKR_FUNCTION_NOT_SUPPORTED), detail: name)
        }
        guard code == CKR_OK else { throw TokenFailure(.function, code: UInt64(code), detail: name) }
    }

    /// A field of a fixed length, padded with blanks (some tokens: with zeroes).
    static func text(_ field: some Any) -> String {
        let bytes = withUnsafeBytes(of: field) { Array($0) }
        let end = bytes.lastIndex { $0 != 0x20 && $0 != 0 }.map { $0 + 1 } ?? 0
        return String(decoding: bytes[..<end], as: UTF8.self)
    }
}

extension TokenSelection {
    fileprivate func matches(_ information: CK_TOKEN_INFO, _ slot: CK_SLOT_ID) -> Bool {
        func isSame(_ wanted: String?, _ field: some Any) -> Bool { wanted.map { $0 == Token.text(field) } ?? true }
        return isSame(self.label, information.label) && isSame(self.manufacturer, information.manufacturerID)
            && isSame(self.model, information.model) && isSame(self.serial, information.serialNumber)
            && (self.slot.map { $0 == UInt64(slot) } ?? true)
    }
}

extension TokenMechanism {
    fileprivate var number: CK_MECHANISM_TYPE {
        switch self {
        case .rsaPKCS1: CK_MECHANISM_TYPE(CKM_RSA_PKCS)
        case .rsaPSSSHA256, .rsaPSSSHA384, .rsaPSSSHA512: CK_MECHANISM_TYPE(CKM_RSA_PKCS_PSS)
        case .ecdsa: CK_MECHANISM_TYPE(CKM_ECDSA)
        }
    }

    fileprivate var pssParameters: CK_RSA_PKCS_PSS_PARAMS? {
        switch self {
        case .rsaPSSSHA256:
            CK_RSA_PKCS_PSS_PARAMS(
                hashAlg: CK_MECHANISM_TYPE(CKM_SHA256), mgf: CK_RSA_PKCS_MGF_TYPE(CKG_MGF1_SHA256), sLen: 32)
        case .rsaPSSSHA384:
            CK_RSA_PKCS_PSS_PARAMS(
                hashAlg: CK_MECHANISM_TYPE(CKM_SHA384), mgf: CK_RSA_PKCS_MGF_TYPE(CKG_MGF1_SHA384), sLen: 48)
        case .rsaPSSSHA512:
            CK_RSA_PKCS_PSS_PARAMS(
                hashAlg: CK_MECHANISM_TYPE(CKM_SHA512), mgf: CK_RSA_PKCS_MGF_TYPE(CKG_MGF1_SHA512), sLen: 64)
        case .rsaPKCS1, .ecdsa: nil
        }
    }
}
