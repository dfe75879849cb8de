"""KuaiRand-Pure: short-video impressions with clicks."""
