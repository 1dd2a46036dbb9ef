import Metrics
import NIOCore
import PeerLink
import Synchronization

/// Opens connections to the edges that the configuration names, so that a key holder needs no port of its own.
final class Dialler: Sendable {
    private struct State {
        var targets: [DialledAddress] = []
        var isStopped = false
        var hasDialled = false
        /// What is dialled again when it resumes; nil: it does not rest.
        var rested: [PeerAddress]?
    }

    private let core: KeyHolderCore
    private let native: NativeService
    private let group: any EventLoopGroup
    private let trust: @Sendable () -> (PeerCredentials, generation: Int)
    private let state = Mutex(State())
    private let links = Gauge(label: "latchstring_keyholder_dialled_links")
    private let offers = Gauge(label: "latchstring_keyholder_dialled_offers")
    private let down = Gauge(label: "latchstring_keyholder_dialled_down")

    /// - Parameters:
    ///   - native: takes connections that edges want for native clients.
    ///   - trust: what a new connection is verified with, and of which generation that is.
    init(
        core: KeyHolderCore, native: NativeService, group: any EventLoopGroup,
        trust: @escaping @Sendable () -> (PeerCredentials, generation: Int)
    ) {
        self.core = core
        self.native = native
        self.group = group
        self.trust = trust
    }

    /// Dials these addresses and no other from now on, or from when it resumes. Links to the others end when they have finished what is under way.
    func update(_ addresses: [PeerAddress]) {
        let (gone, all) = self.state.withLock { state -> ([DialledAddress], [DialledAddress]) in
            guard !state.isStopped else { return ([], []) }
            guard state.rested == nil else {
                state.rested = addresses
                return ([], [])
            }
            let gone = state.targets.filter { !addresses.contains($0.address) }
            state.targets.removeAll { !addresses.contains($0.address) }
            for address in addresses where !state.targets.contains(where: { $0.address == address }) {
                state.targets.append(
                    DialledAddress(
                        address, core: self.core, native: self.native, group: self.group, trust: self.trust,
                        changed: { [weak self] in self?.tell() }))
            }
            return (gone, state.targets)
        }
        for target in gone { target.dismiss() }
        for target in all { target.renew() }
        self.tell()
    }

    /// Grants are others now.
    func reconsider() {
        for target in self.state.withLock({ $0.targets }) { target.reconsider() }
    }

    /// Dials nothing until ``resume()``. Links end when they have finished what is under way.
    func rest() {
        let resting = self.state.withLock { state -> [DialledAddress] in
            guard state.rested == nil else { return [] }
            state.rested = state.targets.map(\.address)
            defer { state.targets = [] }
            return state.targets
        }
        for target in resting { target.dismiss() }
        self.tell()
    }

    func resume() {
        let rested = self.state.withLock { state in
            defer { state.rested = nil }
            return state.rested
        }
        if let rested { self.update(rested) }
    }

    func stop() {
        let targets = self.state.withLock { state in
            state.isStopped = true
            return state.targets
        }
        for target in targets { target.stop() }
    }

    /// Addresses without a link, each with the reason.
    var problems: [String] {
        self.state.withLock({ $0.targets }).compactMap { target in
            target.figures.problem.map { "\(target.address): \($0)" }
        }
    }

    private func tell() {
        let targets: [DialledAddress]? = self.state.withLock { state in
            // A key holder that never dialled has no such figures.
            state.hasDialled = state.hasDialled || !state.targets.isEmpty
            return state.hasDialled ? state.targets : nil
        }
        guard let targets else { return }
        let figures = targets.map(\.figures)
        self.links.record(figures.reduce(0) { $0 + $1.links })
        self.offers.record(figures.reduce(0) { $0 + $1.offers })
        self.down.record(figures.count { $0.links == 0 })
    }
}
