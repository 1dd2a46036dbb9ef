import Crypto
import HSMWire
import KeyHolder
import SecretFiles
import Synchronization

#if canImport(FoundationEssentials)
    import FoundationEssentials
#else
    import Foundation
#endif

/// Logs workers in, one after another, so that a PIN that turns out to be wrong was tried once. It is for all tokens of a key holder.
final class LoginDesk: Sendable {
    private let gate = Mutex(PINGate())
    /// nil: a restart forgets.
    private let refused: RefusedPINs?
    /// Held while a token judges a PIN.
    private let turn = Mutex(())
    /// Of the hashes by which PINs are known.
    private let key = SymmetricKey(size: .bits256)

    init(refused: RefusedPINs?) {
        self.refused = refused
    }

    /// Whether the token took the PIN that the source has now, or there is none.
    func knows(_ facts: TokenFacts, _ source: PINSource?) throws(HSMError) -> Bool {
        guard let source else { return true }
        let pin = try PINReader.read(source)
        defer { SecretFile.wipe(pin) }
        let (hash, token) = (self.hash(pin), PINGate.Token(label: facts.label, serial: facts.serial))
        return self.gate.withLock { $0.isAccepted(hash, token) }
    }

    private func hash(_ pin: [UInt8]) -> [UInt8] {
        Array(HMAC<SHA256>.authenticationCode(for: pin, using: self.key))
    }

    /// - Parameter timeout: For the token's answer; nanoseconds.
    func login(
        _ worker: inout WorkerProcess, to facts: TokenFacts, _ source: PINSource?, _ occasion: PINGate.Occasion,
        timeout: UInt64
    ) throws(HSMError) {
        guard let source else {
            guard facts.needsLogin else { return }
            throw .noPIN
        }
        let result: Result<WorkerProcess, HSMError> = self.turn.withLock { _ in
            var copy = worker
            return Result { () throws(HSMError) in
                try self.loginInTurn(&copy, to: facts, source, occasion, Clock.monotonic() + timeout)
                return copy
            }
        }
        worker = try result.get()
    }

    private func loginInTurn(
        _ worker: inout WorkerProcess, to facts: TokenFacts, _ source: PINSource, _ occasion: PINGate.Occasion,
        _ deadline: UInt64
    ) throws(HSMError) {
        let token = PINGate.Token(label: facts.label, serial: facts.serial)
        let pin = try PINReader.read(source)
        defer { SecretFile.wipe(pin) }
        let hash = self.hash(pin)
        guard self.gate.withLock({ $0.mayTry(hash, at: token, occasion) }) else { throw .pinRefusedBefore }
        guard try self.refused?.contains(pin, token) != true else { throw .pinRefusedBefore }
        guard !facts.isLastTry else { throw .pinLastTry }
        do throws(HSMError) {
            try worker.login(pin, deadline: deadline)
        } catch {
            let isRefused: Bool = self.gate.withLock { gate in
                switch error {
                case .failure(let failure) where TokenStatus.judgesNoPIN(failure.code): return false
                case .failure(let failure) where TokenStatus(failure.code) == .pin: gate.refused(hash, token)
                default: gate.gotNoAnswer(hash, token)
                }
                return !gate.mayTry(hash, at: token, .load)
            }
            if isRefused { try self.refused?.note(pin, token) }
            throw error
        }
        self.gate.withLock { $0.took(hash, token) }
        try self.refused?.note(nil, token)
    }
}
