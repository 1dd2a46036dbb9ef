import ArgumentParser
import NIOSSL
import X509
import ServiceLifecycle
@main struct Latchstring: ParsableCommand {}
