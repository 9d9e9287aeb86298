//! The exponential and the activation function, on whole registers.
//!
//! Promises: a relative error of the exponential below 4e-7, an absolute error of the activation below 1e-6 over the
//! values a network meets. Both are the exact functions, not the "tanh" approximation of GELU.

use pulp::Simd;

use super::panel::multiply_add;

/// Below this the exponential is no longer a normal number.
const LOWEST_EXPONENT: f32 = -87.0;

/// Adding it rounds a small number to an integer and leaves that integer in the low bits: 1.5 * 2^23.
const ROUNDING: f32 = 12_582_912.0;

/// ln 2 in two parts; the first has so few bits that its multiples are exact.
const LN_2_HIGH: f32 = 0.693_359_4;
const LN_2_LOW: f32 = -2.121_944_4e-4;

/// The Taylor coefficients of the exponential from the sixth down. On +-ln(2)/2 the seventh is below rounding.
const EXPONENTIAL: [f32; 7] = [1.0 / 720.0, 1.0 / 120.0, 1.0 / 24.0, 1.0 / 6.0, 0.5, 1.0, 1.0];

/// Abramowitz and Stegun, Handbook of Mathematical Functions, formula 7.1.26: highest power first.
const ERROR_FUNCTION: [f32; 5] = [1.061_405_4, -1.453_152_1, 1.421_413_8, -0.284_496_72, 0.254_829_6];
const ERROR_FUNCTION_SCALE: f32 = 0.327_591_1;

/// `e` to the power of `x`, for `x <= 0`.
#[inline(always)]
pub(super) fn exponential<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let x = simd.max_f32s(x, simd.splat_f32s(LOWEST_EXPONENT));
    let rounding = simd.splat_f32s(ROUNDING);
    let shifted = multiply_add(simd, x, simd.splat_f32s(std::f32::consts::LOG2_E), rounding);
    let power = simd.sub_f32s(shifted, rounding);
    let rest = multiply_add(simd, power, simd.splat_f32s(-LN_2_HIGH), x);
    let rest = multiply_add(simd, power, simd.splat_f32s(-LN_2_LOW), rest);
    let bits = simd.add_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(127));
    let scale = simd.transmute_f32s_u32s(simd.wrapping_dyn_shl_u32s(bits, simd.splat_u32s(23)));
    simd.mul_f32s(polynomial(simd, rest, &EXPONENTIAL), scale)
}

/// `x * P(X <= x)` for a standard normal `X`: GELU by the error function.
#[inline(always)]
pub(super) fn gelu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    // Not by their own operations, which are not inlined everywhere.
    let zero = simd.splat_f32s(0.0);
    let distance = simd.max_f32s(x, simd.sub_f32s(zero, x));
    let scaled = simd.mul_f32s(distance, simd.splat_f32s(std::f32::consts::FRAC_1_SQRT_2));
    let one = simd.splat_f32s(1.0);
    let t = simd.div_f32s(one, multiply_add(simd, scaled, simd.splat_f32s(ERROR_FUNCTION_SCALE), one));
    let bell = exponential(simd, simd.sub_f32s(zero, simd.mul_f32s(scaled, scaled)));
    let complement = simd.mul_f32s(simd.mul_f32s(polynomial(simd, t, &ERROR_FUNCTION), t), bell);
    // Both signs in one line: the complement is what a positive x loses and what a negative x keeps.
    let half = simd.mul_f32s(distance, simd.splat_f32s(-0.5));
    multiply_add(simd, half, complement, simd.max_f32s(x, zero))
}

/// A polynomial in `x` by Horner's rule, highest power first.
#[inline(always)]
fn polynomial<S: Simd, const TERMS: usize>(simd: S, x: S::f32s, coefficients: &[f32; TERMS]) -> S::f32s {
    let mut value = simd.splat_f32s(coefficients[0]);
    for coefficient in &coefficients[1..] {
        value = multiply_add(simd, value, x, simd.splat_f32s(*coefficient));
    }
    value
}

#[cfg(test)]
mod tests {
    use pulp::{Arch, WithSimd};

    use super::*;

    /// Applies both functions to a slice whose length is a multiple of sixteen.
    struct Both<'a> {
        x: &'a [f32],
        exponential: &'a mut [f32],
        gelu: &'a mut [f32],
    }

    impl WithSimd for Both<'_> {
        type Output = ();

        #[inline(always)]
        fn with_simd<S: Simd>(self, simd: S) {
            let (x, _) = S::as_simd_f32s(self.x);
            let (exponentials, _) = S::as_mut_simd_f32s(self.exponential);
            let (gelus, _) = S::as_mut_simd_f32s(self.gelu);
            for ((x, exponential_of), gelu_of) in x.iter().zip(exponentials).zip(gelus) {
                *exponential_of = exponential(simd, simd.min_f32s(*x, simd.splat_f32s(0.0)));
                *gelu_of = gelu(simd, *x);
            }
        }
    }

    /// The complement of the error function by its integral, in 64 bits.
    fn complement(z: f64) -> f64 {
        let steps = 4000;
        let width = 8.0 / f64::from(steps);
        let middle = |step: i32| z + (f64::from(step) + 0.5) * width;
        let area: f64 = (0..steps).map(|step| (-middle(step) * middle(step)).exp() * width).sum();
        2.0 / std::f64::consts::PI.sqrt() * area
    }

    #[test]
    fn functions_agree_with_their_definitions() {
        let x: Vec<f32> = (0..1600).map(|index| (index - 800) as f32 / 50.0).collect();
        let (mut exponentials, mut gelus) = (vec![0.0; x.len()], vec![0.0; x.len()]);
        Arch::new().dispatch(Both { x: &x, exponential: &mut exponentials, gelu: &mut gelus });
        for ((x, exponential), gelu) in x.iter().zip(exponentials).zip(gelus) {
            let expected = f64::from(x.min(0.0)).exp();
            assert!((f64::from(exponential) / expected - 1.0).abs() < 4e-7, "exp({x}) = {exponential}");
            let x = f64::from(*x);
            let tail = 0.5 * x.abs() * complement(x.abs() / std::f64::consts::SQRT_2);
            assert!((f64::from(gelu) - (x.max(0.0) - tail)).abs() < 1e-6, "gelu({x}) = {gelu}");
        }
    }
}
