"""Numbers in words, as a page shows them: errors in per cent, spreads in points, durations.

Nothing heavy is imported: the build of the book reads this module too.
"""

NBSP = "\u00a0"
TITLES = {  # of data sets
    "digits": "scikit-learn’s digits",
    "mnist": "MNIST",
    "fashion_mnist": "Fashion-MNIST",
    "cifar10": "CIFAR-10",
}


def number(field, value, digits=1):
    """Errors (fractions) in per cent with up to `digits` decimals, at least one; whole numbers grouped;
    others to three digits."""
    if is_error(field):
        text = f"{100 * value:.{digits}f}"
        while len(text.partition(".")[2]) > 1 and text.endswith("0"):
            text = text[:-1]
        return sign(f"{text}{NBSP}%")
    if float(value).is_integer():
        return sign(f"{int(value):,}")
    if abs(value) >= 100:
        return sign(f"{value:,.0f}")
    if abs(value) >= 1e-3:
        return sign(f"{value:.3g}")
    mantissa, _, exponent = f"{value:.1e}".partition("e")
    return sign(mantissa) + "·10" + str(int(exponent)).translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))


def is_error(field):
    """Whether a field is a fraction that people read in per cent: test_error, train_error_eval, …"""
    return field.endswith(("_error", "_error_eval", "_error_mirrored"))


def spread(field, value):
    """A standard deviation: in points for errors, else as the number itself."""
    return f"±{NBSP}{100 * value:.1f}" if is_error(field) else f"±{NBSP}{number(field, value)}"


def duration(seconds):
    """Seconds as '54 s', '2 min 54 s', from ten minutes on as '12 min' or '1 h 20 min'."""
    seconds = round(seconds)
    if seconds < 60:
        return f"{seconds}{NBSP}s"
    if seconds < 600:
        rest = f" {seconds % 60}{NBSP}s" if seconds % 60 else ""
        return f"{seconds // 60}{NBSP}min{rest}"
    minutes = round(seconds / 60)
    if minutes < 60:
        return f"{minutes}{NBSP}min"
    rest = f" {minutes % 60}{NBSP}min" if minutes % 60 else ""
    return f"{minutes // 60}{NBSP}h{rest}"


def sign(text):
    """A number's text with a true minus sign."""
    return text.replace("-", "−")
