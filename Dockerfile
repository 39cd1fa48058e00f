# docker build -t product-classifier . && docker run --rm -v "$PWD/out:/app/data/predictions" product-classifier
FROM python:3.12-slim
RUN apt-get update && apt-get install --yes --no-install-recommends git make && rm -rf /var/lib/apt/lists/*
WORKDIR /app
COPY requirements.txt ./
# PyTorch's own index has the build without CUDA.
RUN pip install --no-cache-dir --extra-index-url https://download.pytorch.org/whl/cpu -r requirements.txt
COPY . .
CMD ["sh", "-c", "dvc repro && python -m stages.report"]
