import EdgeModel
import KeyProtocol

extension SiteMode {
    /// The word for it in configuration, logs and metrics.
    var word: TrustMode {
        switch self {
        case .relay: .relay
        case .keyless: .keyless
        case .handoff: .handoff
        }
    }
}

extension ConnectionBound {
    func count(of total: Int) -> Int {
        switch self {
        case .number(let number): min(number, total)
        case .percent(let percent): max(1, total * percent / 100)
        }
    }
}
