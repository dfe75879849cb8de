#include "runtime/activation.h"

static void activate_row(const struct vqr_activation_layer *layer, const struct vqr_kernels *k, size_t codebook,
                         float *x, size_t n)
{
    switch (layer->kind) {
    case VQR_RELU:
        k->relu_f32(x, x, n);
        break;
    case VQR_SILU:
        k->silu_f32(x, x, n);
        break;
    case VQR_LEAKY_RELU:
        k->leaky_relu_f32(x, x, n);
        break;
    case VQR_PRELU:
        k->prelu_f32(x, x, vqr_weights_of(layer->alpha, codebook), n);
        break;
    case VQR_GELU:
        k->gelu_f32(x, x, n);
        break;
    case VQR_TANH:
        k->tanh_f32(x, x, n);
        break;
    case VQR_DICE:
        k->dice_f32(x, x, vqr_weights_of(layer->mean, codebook), vqr_weights_of(layer->inv_std, codebook),
                    vqr_weights_of(layer->alpha, codebook), n);
        break;
    }
}

void vqr_activate(const struct vqr_activation_layer *layer, const struct vqr_kernels *k, size_t codebook, float *x,
                  size_t stride, size_t rows, size_t n)
{
    for (size_t r = 0; r < rows; r++)
        activate_row(layer, k, codebook, x + r * stride, n);
}
