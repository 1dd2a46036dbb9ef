package import EdgeModel
package import KeyProtocol

extension SiteMode {
    /// The word for it in configuration, logs and metrics.
    package var word: TrustMode {
        switch self {
        case .relay: .relay
        case .keyless: .keyless
        case .handoff: .handoff
        }
    }
}
