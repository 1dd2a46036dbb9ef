public import HSMWire
public import SecretFiles

/// Why a token or a key on it cannot be used. The text says what to do.
public enum HSMError: Error, Equatable, Sendable, CustomStringConvertible {
    /// The worker could not be started: what failed.
    case start(String)
    /// The worker ended, or was ended since it did not answer in time or not by the protocol.
    case ended(String)
    case failure(TokenFailure)
    case noPIN
    case pinFile(SecretFileError)
    case pinForm
    case noCredentials(String)
    /// The token refused this PIN before.
    case pinRefusedBefore
    case pinLastTry
    /// What is known of refused PINs cannot be read or written.
    case memory(String)
    /// After failures there is a pause.
    case paused
    case busy
    /// Others log in to the token, and get no answer.
    case loginBusy
    case wrongSignature(String)

    public var description: String {
        switch self {
        case .start(let what): "its process cannot be started: \(what)"
        case .ended(let how): "its process \(how)"
        case .failure(let failure): Self.text(failure)
        case .noPIN:
            "the token asks for a PIN; put it into a file for the key holder's user alone, and write hsm.pin-file"
        case .pinFile(let error): "its PIN cannot be read: \(error)"
        case .pinForm: "the file with its PIN is empty or longer than 255 bytes"
        case .noCredentials(let name):
            "there is no credential \"\(name)\": LoadCredential= of systemd hands it over, and sets CREDENTIALS_DIRECTORY"
        case .pinRefusedBefore:
            "the token refused this PIN before, and it is not tried again; put the right one into its file, and reload"
        case .pinLastTry:
            "the token locks itself after one more wrong PIN, so that none is tried; log in once with the vendor's tool"
        case .memory(let reason):
            "which PINs were refused before cannot be read or written, so none is tried: \(reason)"
        case .paused: "its process ended several times; it is started again after a pause"
        case .busy: "all of its processes are at work"
        case .loginBusy: "it does not answer to a login that was begun before"
        case .wrongSignature(let scheme):
            "its signature (\(scheme)) does not fit the certificate; name the key that the certificate was issued for"
        }
    }

    private static func text(_ failure: TokenFailure) -> String {
        switch failure.reason {
        case .module: "hsm.module cannot be loaded: \(failure.detail)"
        case .function:
            TokenStatus(failure.code) == .pin
                ? "the token refused the PIN (\(TokenStatus.name(failure.code))); it is not tried again. Put the right one into its file, and reload"
                : "\(failure.detail) failed: \(TokenStatus.name(failure.code))"
        case .noToken: "there is no such token in any slot; is it plugged in, and is its name right?"
        case .severalTokens: "several tokens fit; add serial= or slot-id= to the key's name"
        case .noKey: "the token has no such private key; check object= and id=, and that the PIN is the user's"
        case .severalKeys: "several private keys of the token fit; add id= to the key's name"
        case .keyDoesNotSign: "the token does not let the key sign (CKA_SIGN)"
        case .keyAsksEachTime:
            "the key asks for the PIN at each signature (CKA_ALWAYS_AUTHENTICATE); make one that does not"
        case .request: "the worker does not know what to do with a request (\(failure.detail))"
        }
    }
}
